/** Text for counts, durations and times. */

/** A narrow no-break space, which groups digits. */
const THIN = "\u202f";
/** Shown for a missing count, which is not 0. */
const NOTHING = "–";
const DAY_S = 86_400;

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const EXACT_TIME = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hour12: false,
});
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** Formats a count, which is a number, a BigInt, or null. */
export function formatCount(count) {
  return count === null ? NOTHING : grouped(String(count));
}

/** Formats counts per second with 3 significant digits, or with all digits before the point. */
export function formatRate(rate) {
  if (rate === null) return NOTHING;
  if (rate === 0) return "0";
  if (rate < 0.01) return "<0.01";
  const [whole, fraction] = rate.toFixed(rate < 10 ? 2 : rate < 100 ? 1 : 0).split(".");
  return grouped(whole) + (fraction ? `.${fraction}` : "");
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, THIN);
}

/** Formats seconds with the two largest units: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`. */
export function formatDuration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
  if (s < 86_400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return two(Math.floor(s / 86_400), "d", Math.floor((s % 86_400) / 3600), "h");
}

function two(big, bigUnit, small, smallUnit) {
  return small ? `${big} ${bigUnit} ${small} ${smallUnit}` : `${big} ${bigUnit}`;
}

/** Formats the mean length of sessions, in seconds, or null. */
export function formatLength(seconds) {
  if (seconds === null) return NOTHING;
  return seconds < 10 ? `${formatRate(seconds)} s` : formatDuration(seconds);
}

/** Formats Unix seconds as local time of day; `isExact` adds the seconds. */
export function formatTime(timestamp, isExact = false) {
  return (isExact ? EXACT_TIME : TIME).format(new Date(timestamp * 1000));
}

/** Formats Unix seconds as local day and month. */
export function formatDate(timestamp) {
  return DATE.format(new Date(timestamp * 1000));
}

/** Formats start and end of an interval. The start has its day unless that is today, the end that of a long one. */
export function formatSpan(start, end, now) {
  const isExact = start % 60 !== 0 || end % 60 !== 0;
  const day = formatDate(start) === formatDate(now) ? "" : `${formatDate(start)}, `;
  const lastDay = end - start < DAY_S ? "" : `${formatDate(end)}, `;
  return `${day}${formatTime(start, isExact)} – ${lastDay}${formatTime(end, isExact)}`;
}
