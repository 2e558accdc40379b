/** Ranges of time that the page shows, and the queries for them, as pure functions. */

import { formatCount, formatDuration, formatPoint } from "./format.js";

const [MINUTE, HOUR, DAY, WEEK] = [60, 3600, 86_400, 604_800];

/** Ranges that end now, by their names in the address. */
export const RANGES = [
  { name: "1h", text: "1 h", title: "Last hour", length_s: HOUR },
  { name: "6h", text: "6 h", title: "Last 6 hours", length_s: 6 * HOUR },
  { name: "24h", text: "1 d", title: "Last day", length_s: DAY },
  { name: "7d", text: "7 d", title: "Last week", length_s: WEEK },
  { name: "30d", text: "30 d", title: "Last month", length_s: 30 * DAY },
];

/** Finished intervals of a live view, the most bars of a range, and the most counts in the page. */
const [LIVE_BARS, MOST_BARS, MOST_COUNTS] = [60, 300, 1_000_000];

/** A round step may be this many times as long as necessary. */
const MOST_COARSE = 5;
/** Seconds of a bar in which the server may sum intervals. */
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2].map((n) => n * DAY),
  ...[1, 2, 4, 13, 26, 52].map((n) => n * WEEK),
];

/** Seconds of a step that no view needs: the server's limit is 100,000 hours. */
const LONGEST_S = 10 * 52 * WEEK;

/** Names of what figures are compared with. `title` names the counts before. */
export const COMPARISONS = {
  interval: { text: "interval before", title: "in the interval before" },
  day: { text: "day before", title: "a day before" },
  week: { text: "week before", title: "a week before" },
};

/**
 * Returns what a group view shows: the same `key` means the same figures.
 *
 * @param interval {name, length_s, offset_s, history}; `history` is the number of intervals that the server keeps.
 */
export function scopeOf(group, interval, { range, since, until, compare }) {
  const { name, length_s, history: kept } = interval;
  const scope = { group: group.name, interval: name, length_s, kept, range, since, until, compare };
  return { ...scope, key: JSON.stringify(scope) };
}

/** Returns true if a view shows the newest intervals, whenever they were; false for a range of time. */
export function isLive({ range, since }) {
  return range === null && since === null;
}

/** Returns true if the next interval that finishes belongs to the range. */
export function reachesNow(scope, now) {
  return scope.until === null || scope.until > now;
}

/**
 * Returns the comparison: the chosen one, or null for none.
 *
 * The default is the day before, for views of up to a day if the history goes back so far; otherwise the time before.
 */
export function comparisonOf(scope) {
  const { compare, kept, length_s } = scope;
  if (compare === "none" || kept < 2) return null;
  if (compare !== null) return compare;
  const isShort = length_s < DAY && (isLive(scope) || lengthOf(scope) <= DAY);
  return isShort && kept * length_s >= DAY + length_s ? "day" : "interval";
}

/** Returns the length of a range in whole intervals, in seconds. */
export function lengthOf({ range, since, until, length_s }) {
  if (range === null) return until - since;
  const wanted_s = RANGES.find(({ name }) => name === range).length_s;
  return Math.max(1, Math.ceil(wanted_s / length_s)) * length_s;
}

/** Returns the seconds of a bar; null if each interval has one. */
export function stepOf(scope, n_events) {
  if (isLive(scope)) return null;
  const range_s = lengthOf(scope);
  const n_bars = Math.max(1, Math.min(MOST_BARS, Math.floor(MOST_COUNTS / Math.max(1, n_events))));
  if (range_s / scope.length_s <= n_bars) return null;
  const least_s = range_s / n_bars;
  const round = STEPS.find((step) => step >= least_s && step <= MOST_COARSE * least_s && step % scope.length_s === 0);
  return round ?? Math.ceil(Math.min(least_s, LONGEST_S) / scope.length_s) * scope.length_s;
}

/** Returns the parameters of the API for the finished intervals of a view. */
export function queryOf(scope, n_events) {
  if (isLive(scope)) return { history: Math.min(scope.kept, LIVE_BARS) };
  const { range, since, until, length_s } = scope;
  const step_s = stepOf(scope, n_events);
  const step = step_s && spelled(step_s);
  if (range === null) return { since, until, step };
  // The server's clock decides. One more interval than shown: the begin of the current one is in the past.
  return { since: spelled(lengthOf(scope) + length_s), step };
}

/** Returns begin and end of a view by the time of its answer: {from, to}. */
export function boundsOf(scope, { server_time, offset_s = 0 }, spans) {
  const { length_s } = scope;
  const boundary = Math.floor((server_time - offset_s) / length_s) * length_s + offset_s;
  if (isLive(scope)) return { from: spans[0]?.start ?? boundary, to: spans.at(-1)?.end ?? boundary };
  if (scope.range !== null) return { from: boundary - lengthOf(scope), to: boundary };
  return { from: scope.since, to: Math.max(scope.since, Math.min(scope.until, boundary)) };
}

/** Returns a duration as the API spells it, such as `30m` or `1w`: weeks begin on Monday. */
export function spelled(seconds) {
  const units = { w: WEEK, d: DAY, h: HOUR, m: MINUTE };
  const [unit, length_s] = Object.entries(units).find(([, each]) => seconds % each === 0) ?? ["s", 1];
  return `${seconds / length_s}${unit}`;
}

/** Returns sentences about history that a view lacks, or "": where the history begins, and the holes after that. */
export function gapsOf({ scope, bounds: { from, to }, spans, begin }, now) {
  if (isLive(scope)) return "";
  const kept_s = scope.kept * scope.length_s;
  if (!kept_s) return "This group keeps no history.";
  if (!spans.length && begin === null) return "No interval of this range is in the history.";
  const isBefore = begin !== null && begin > from;
  const start = isBefore ? begin : from;
  const covered_s = spans.reduce((sum, span) => sum + (span.covered_s ?? span.end - span.start), 0);
  const missing_s = to - start - covered_s;
  const intervals = scope.kept === 1 ? "interval" : "intervals";
  const kept = `The server keeps ${formatCount(scope.kept)} ${intervals} of ${scope.interval}: ${formatDuration(kept_s)}.`;
  return [
    ...(isBefore ? [`No history before ${formatPoint(begin, now, begin % 60 !== 0)}. ${kept}`] : []),
    ...(missing_s > scope.length_s * 1.5 ? [`${formatDuration(missing_s)} of this range are missing in the history.`] : []),
  ].join(" ");
}
