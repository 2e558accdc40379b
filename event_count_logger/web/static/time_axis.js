/** The axis of time, as pure functions. Ticks are round in local time, also when clocks are changed. */

import { formatTime } from "./format.js";
import { once } from "./once.js";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
/** Pixels between two labels. */
const GAP = 16;
/** Fewest labels. Smaller gaps are better than fewer labels. */
const FEWEST = 3;
/** Day of 1 January 1970 and of the first Monday after it, in days. */
const MONDAY = 4;

const format = (options) => once(() => new Intl.DateTimeFormat(undefined, options));
const WEEKDAY = format({ weekday: "short" });
const DATE = format({ day: "numeric", month: "short" });
const FULL_DATE = format({ weekday: "short", day: "numeric", month: "short" });
const MONTH = format({ month: "short", year: "numeric" });
const ZONE = format({ timeZoneName: "short" });

/** Steps between ticks. `most_s`: longest range in which no label repeats. `width`: of a label, in pixels. */
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => ({ seconds: n, kind: "clock", width: 58, most_s: 6 * DAY })),
  ...[1, 2, 5, 10, 15, 30, 60].map((n) => ({ seconds: n * MINUTE, kind: "clock", width: 40, most_s: 6 * DAY })),
  ...[2, 3, 6, 12].map((n) => ({ seconds: n * HOUR, kind: "hours", width: 40, most_s: 6 * DAY })),
  ...[1, 2, 7, 14].map((n) => ({ seconds: n * DAY, kind: "days", width: 50, most_s: 360 * DAY })),
  ...[1, 3, 6].map((n) => ({ seconds: n * 30 * DAY, n, kind: "months", width: 66, most_s: Infinity })),
  ...[1, 2, 5, 10, 20, 50, 100].map((n) => ({ seconds: n * 365 * DAY, n, kind: "years", width: 40, most_s: Infinity })),
];
/** Pixels of a character of a label. */
const CHARACTER = 6.6;

/**
 * Returns the ticks between two Unix seconds: {at, label, below}.
 *
 * No label repeats. `below` is the day, or the year, at the first tick and wherever it changes; else "".
 */
export function timeTicks(from, to, width) {
  const fitting = STEPS.filter(({ seconds, most_s }) => to - from <= most_s && (to - from) / seconds <= width / 8);
  const isWide = to - from > DAY;
  const found = fitting.map((step) => ({ step, times: ticksOf(step, from, to) }));
  const fits = (gap) => (each) => {
    if (each.times.length * (each.step.width + gap) > width) return false;
    each.ticks ??= labelled(each.step, each.times, isWide);
    return areApart(each.ticks, gap, width / (to - from));
  };
  const roomy = found.find(fits(GAP));
  if (roomy?.ticks.length >= FEWEST) return roomy.ticks;
  const dense = found.filter(({ times }) => times.length >= FEWEST).findLast(fits(4));
  return (dense ?? roomy)?.ticks ?? [];
}

function areApart(ticks, gap, pixelsPerSecond) {
  const isApart = (before, { at, label }) => {
    const room = ((before.label.length + label.length) / 2) * CHARACTER + gap;
    return (at - before.at) * pixelsPerSecond >= room;
  };
  return ticks.every((tick, n) => n === 0 || isApart(ticks[n - 1], tick));
}

/** Returns the beginnings of local days between two times. */
export function midnights(from, to) {
  return days(1, from, to).filter((at) => at > from && at < to);
}

function isOfDay({ kind }) {
  return kind === "clock" || kind === "hours";
}

function ticksOf({ kind, seconds, n }, from, to) {
  const found = { clock, hours, days, months, years }[kind](n ?? seconds, from, to);
  return [...new Set(found)].filter((at) => at >= from && at <= to);
}

/** Steps of at most an hour: multiples of real time, because local times repeat when clocks are set back. */
function clock(step, from, to) {
  const offset = offsetAt(from);
  const ticks = [];
  for (let at = Math.ceil((from + offset) / step) * step - offset; at <= to; at += step) ticks.push(at);
  return ticks.filter((at) => (at + offsetAt(at)) % step === 0);
}

function hours(step, from, to) {
  const date = new Date(from * 1000);
  const ticks = [];
  for (let hour = 0; ; hour += step / HOUR) {
    const at = new Date(date.getFullYear(), date.getMonth(), date.getDate(), hour).getTime() / 1000;
    if (at > to) return ticks;
    ticks.push(at);
  }
}

function days(step, from, to) {
  const n = Math.max(1, step / DAY);
  const date = new Date(from * 1000);
  const ticks = [];
  for (let day = 0; ; day += 1) {
    const local = [date.getFullYear(), date.getMonth(), date.getDate() + day];
    const at = new Date(...local).getTime() / 1000;
    if (at > to) return ticks;
    if ((Date.UTC(...local) / 1000 / DAY - MONDAY) % n === 0) ticks.push(at);
  }
}

function months(n, from, to) {
  const date = new Date(from * 1000);
  const ticks = [];
  for (let month = date.getMonth(); ; month += 1) {
    const at = new Date(date.getFullYear(), month, 1).getTime() / 1000;
    if (at > to) return ticks;
    if (month % n === 0) ticks.push(at);
  }
}

function years(n, from, to) {
  return months(12, from, to).filter((at) => new Date(at * 1000).getFullYear() % n === 0);
}

/** Returns the seconds by which local time is ahead of UTC. */
function offsetAt(at) {
  return -new Date(at * 1000).getTimezoneOffset() * MINUTE;
}

function labelled(step, ticks, isWide) {
  const plain = ticks.map((at) => labelOf(step, at, isWide));
  const isTwice = (label) => plain.indexOf(label) !== plain.lastIndexOf(label);
  const labels = ticks.map((at, n) => (isTwice(plain[n]) ? `${plain[n]} ${zoneOf(at)}` : plain[n]));
  // Only the end of exactly one day repeats the label of its beginning.
  if (new Set(labels).size < labels.length) return labelled(step, ticks.slice(0, -1), isWide);
  const below = ticks.map((at) => belowOf(step, at));
  return ticks.map((at, n) => ({ at, label: labels[n], below: below[n] === below[n - 1] ? "" : below[n] }));
}

function labelOf(step, at, isWide) {
  const date = new Date(at * 1000);
  if (step.kind === "years") return String(date.getFullYear());
  if (step.kind === "months") return MONTH().format(date);
  if (step.kind === "days") return DATE().format(date);
  return (isWide ? `${WEEKDAY().format(date)} ` : "") + formatTime(at, step.seconds < MINUTE);
}

function belowOf(step, at) {
  const date = new Date(at * 1000);
  if (step.kind === "days") return String(date.getFullYear());
  return isOfDay(step) ? FULL_DATE().format(date) : "";
}

function zoneOf(at) {
  return ZONE().formatToParts(new Date(at * 1000)).find(({ type }) => type === "timeZoneName").value;
}
