/** Text for counts, rates, changes, durations and times, in one style. */

import { once } from "./once.js";

export { visible } from "./visible.js";

/** A narrow no-break space, which groups digits and stands before units. */
const THIN = "\u202f";
/** Shown for a missing count, which is not 0. */
const NOTHING = "–";
const MINUS = "−";
const DAY_S = 86_400;
/** Counts from here on are short where space is. */
const LONG_COUNT = 10_000;
/** Increases from here on are shown as factors. */
const LARGE_CHANGE = 9;
const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const format = (options) => once(() => new Intl.DateTimeFormat(undefined, options));
const TIME = format(CLOCK);
const EXACT_TIME = format({ ...CLOCK, second: "2-digit" });
const DATE = format({ day: "numeric", month: "short" });
const YEARS_DATE = format({ day: "numeric", month: "short", year: "numeric" });

/** Formats a count, which is a number, a BigInt, or null. A number with a fraction has at most two decimals. */
export function formatCount(count) {
  if (count === null) return NOTHING;
  const text = typeof count === "number" && !Number.isInteger(count) ? count.toFixed(2) : String(BigInt(count));
  const [, sign, whole, fraction] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  return (sign && MINUS) + grouped(whole) + (Number(fraction) ? `.${fraction.replace(/0$/, "")}` : "");
}

/** Formats a count for a narrow place: all digits below 10 000, then three of them: `12.3k`, `4.57M`. */
export function formatCompact(count) {
  if (count === null || Math.abs(Number(count)) < LONG_COUNT) return formatCount(count);
  return withPrefix(Number(count), prefixOf(Number(count)));
}

/** Returns the power of 1000 by which a value is shortened, after it was rounded to three digits. */
export function prefixOf(value) {
  const rounded = Number(Math.abs(value).toPrecision(3));
  const power = rounded < 1000 ? 0 : Math.floor(Math.log10(rounded) / 3 + 1e-9);
  return Math.min(PREFIXES.length - 1, power);
}

/** Formats a value in thousands to that power, with three significant digits. */
export function withPrefix(value, power) {
  const rounded = Number((value / 1000 ** power).toPrecision(3));
  return formatCount(rounded) + PREFIXES[power];
}

/** Formats counts per second with 3 significant digits, or with all digits before the point. */
export function formatRate(rate) {
  if (rate === null) return NOTHING;
  if (rate === 0) return "0";
  if (rate < 0.01) return "<0.01";
  const [whole, fraction] = rate.toFixed(rate < 9.995 ? 2 : rate < 99.95 ? 1 : 0).split(".");
  return grouped(whole) + (fraction ? `.${fraction}` : "");
}

/** Returns now / before - 1 of two rates; Infinity if only `before` is 0, and null if it is unknown. */
export function changeOf(now, before) {
  if (now === null || before === null) return null;
  if (Number(before) === 0) return Number(now) === 0 ? 0 : Infinity;
  return Number(now) / Number(before) - 1;
}

/** Formats a change: `+42 %`, `−7 %`, `±0 %`, `×12` from ten times on, `new` for Infinity, `–` for null. */
export function formatChange(ratio) {
  if (ratio === null) return NOTHING;
  if (ratio === Infinity) return "new";
  if (ratio >= LARGE_CHANGE) return `×${formatCompact(Math.round(ratio + 1))}`;
  const percent = percentOf(Math.abs(ratio));
  return `${percent === "0" ? "±" : ratio < 0 ? MINUS : "+"}${percent}${THIN}%`;
}

/** Formats a share between 0 and 1: `62 %`, `4.2 %`, `<0.1 %`. */
export function formatShare(share) {
  if (share === null || Number.isNaN(share)) return NOTHING;
  return `${share > 0 && share < 0.001 ? "<0.1" : percentOf(share)}${THIN}%`;
}

/** Returns percents: one decimal below 10, and just below 100, which stands for all or nothing only. */
function percentOf(ratio) {
  const percent = 100 * ratio;
  if (percent > 99.4 && percent < 100) return String(Math.min(99.9, Number(percent.toFixed(1))));
  return formatCount(Number(percent.toFixed(percent < 9.95 ? 1 : 0)));
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, THIN);
}

/** Formats seconds with the two largest units: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`. */
export function formatDuration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
  if (s < DAY_S) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return two(Math.floor(s / DAY_S), "d", Math.floor((s % DAY_S) / 3600), "h");
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
  return (isExact ? EXACT_TIME() : TIME()).format(new Date(timestamp * 1000));
}

/** Formats Unix seconds as local day and month. */
export function formatDate(timestamp) {
  return DATE().format(new Date(timestamp * 1000));
}

/** Formats Unix seconds as local day, month and, if it differs from that of `now`, year; "" for the day of `now`. */
function dayOf(timestamp, now) {
  const [day, today] = [timestamp, now].map((each) => YEARS_DATE().format(new Date(each * 1000)));
  if (day === today) return "";
  const isThisYear = new Date(timestamp * 1000).getFullYear() === new Date(now * 1000).getFullYear();
  return isThisYear ? formatDate(timestamp) : day;
}

/** Formats Unix seconds as local time, with its day unless that is today; `isExact` adds the seconds. */
export function formatPoint(timestamp, now, isExact = false) {
  const day = dayOf(timestamp, now);
  return `${day && `${day}, `}${formatTime(timestamp, isExact)}`;
}

/** Formats start and end of an interval. The start has its day unless that is today, the end that of a long one. */
export function formatSpan(start, end, now) {
  const isExact = start % 60 !== 0 || end % 60 !== 0;
  const day = dayOf(start, now);
  const lastDay = end - start < DAY_S ? "" : dayOf(end, now) || formatDate(end);
  return `${day && `${day}, `}${formatTime(start, isExact)} – ${lastDay && `${lastDay}, `}${formatTime(end, isExact)}`;
}
