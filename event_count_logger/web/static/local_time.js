/** Local times as fields of a form have them. */

/** Formats Unix seconds as the value of a field of date and time. */
export function toInput(timestamp) {
  const date = new Date(Math.round(timestamp) * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  const time = [date.getHours(), date.getMinutes(), ...(date.getSeconds() ? [date.getSeconds()] : [])].map(two).join(":");
  return `${day}T${time}`;
}

/** Returns the Unix seconds of the value of such a field; NaN if it is empty. */
export function fromInput(value) {
  return new Date(value).getTime() / 1000; // without a zone, a date with a time is local
}

/** Returns the name of the local zone and its distance from UTC at a time, such as `Europe/Berlin (UTC+1)`. */
export function zoneOf(timestamp) {
  const minutes = -new Date(timestamp * 1000).getTimezoneOffset();
  const hours = `${Math.floor(Math.abs(minutes) / 60)}${minutes % 60 ? `:${String(Math.abs(minutes) % 60).padStart(2, "0")}` : ""}`;
  const offset = minutes ? `UTC${minutes < 0 ? "−" : "+"}${hours}` : "UTC";
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return name === "UTC" ? name : `${name} (${offset})`;
}
