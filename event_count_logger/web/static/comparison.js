/** Counts beside those of an earlier period, in words and as a line of the chart. */

import { formatCount, formatDate, formatSpan, formatTime } from "./format.js";
import { COMPARISONS } from "./range.js";

const DAY_S = 86_400;
/** Milliseconds after the last key in the filter until the line of its events is requested. */
const PAUSE_MS = 250;

/**
 * Returns a function that puts a change into words, from a count and the count before:
 * `412, against 203 at 02:40 yesterday`. It returns null if nothing is known of the period before.
 */
export function wordsFor(figures, now) {
  const { period, periodBefore, isRange } = figures;
  if (!period || !periodBefore) return () => null;
  const span = isRange ? ` (${formatSpan(periodBefore.start, periodBefore.end, now)})` : "";
  const time = timeOf(figures, now) + span;
  return (count, before) => `${formatCount(count)}, against ${formatCount(before)} ${time}`;
}

/** Returns the period before and its count: `against 203 at 02:40 yesterday`. */
export function against(figures, before, now) {
  return `against ${formatCount(before)} ${timeOf(figures, now)}`;
}

function timeOf({ period, periodBefore, isRange, compare }, now) {
  const { start } = periodBefore;
  const time = isRange ? titleOf(compare, true) : `at ${formatTime(start, start % 60 !== 0)}${dayOf(start, now)}`;
  return time + ofLength(period, periodBefore);
}

/** Returns the name of the counts before, such as `a day before`. */
export function titleOf(compare, isRange) {
  return isRange && compare === "interval" ? "in the range before" : COMPARISONS[compare].title;
}

/** Returns the length of the period before, if a comparison of the counts alone would be wrong. */
function ofLength(period, periodBefore) {
  const ratio = periodBefore.covered_s / period.covered_s;
  return Math.abs(ratio - 1) < 0.01 ? "" : `, which covers ${ratio > 1 ? "more" : "less"} time`;
}

function dayOf(timestamp, now) {
  if (formatDate(timestamp) === formatDate(now)) return "";
  return formatDate(timestamp) === formatDate(now - DAY_S) ? " yesterday" : ` on ${formatDate(timestamp)}`;
}

/** Returns the reason why nothing is compared, or "". */
export function whyNot({ compare, periodBefore, period, isRange }) {
  if (compare === null || periodBefore || !period) return "";
  return `no counts ${titleOf(compare, isRange)}`;
}

/** The line of the chart: for each span the count of the same length of time before. */
export class ComparedLine {
  #api;
  #changed;
  #key = "";
  #byStart = new Map();
  #stop = new AbortController();

  /** `changed()` is called when another line has arrived. */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  /**
   * Returns the line of the events that match, with null for unknown; null as a whole if there is none yet.
   *
   * @param match {filter, event}: words, or one event.
   */
  of(figures, query, match) {
    if (figures.compare === null) return null;
    const key = JSON.stringify([figures.scope.key, figures.loaded.server_time, figures.compare, match]);
    if (key !== this.#key) this.#begin(key, figures, query, match);
    return this.#byStart.size ? figures.spans.map(({ start }) => this.#byStart.get(start) ?? null) : null;
  }

  /** Adds the newest interval of a live view. `before`: the count that it is compared with, or null. */
  extend({ spans, period, periodBefore }, before) {
    const last = spans.at(-1);
    if (!last || !periodBefore || period.start !== last.start || before === null || before === undefined) return;
    this.#byStart.set(last.start, (Number(before) * period.covered_s) / periodBefore.covered_s);
  }

  clear() {
    this.#stop.abort();
    this.#key = "";
    this.#byStart = new Map();
  }

  #begin(key, figures, query, match) {
    this.clear();
    this.#key = key;
    this.#stop = new AbortController();
    if (match.event === null && match.filter === figures.filter) this.#take(figures.loaded);
    else this.#ask(figures, { ...query, ...match, filter: match.filter || null }, this.#stop.signal);
  }

  async #ask(figures, query, signal) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    if (signal.aborted) return;
    const rows = { limit: 1, current: false, compare: figures.compare };
    const answer = await this.#api.figures(figures.scope, { ...query, ...rows }, signal).catch(() => null);
    if (signal.aborted || answer === null) return;
    this.#take(answer);
    this.#changed();
  }

  #take({ history, compared }) {
    const counts = compared?.history ?? [];
    const count = (n) => (counts[n] === null || counts[n] === undefined ? null : Number(counts[n]));
    this.#byStart = new Map(history.spans.map(({ start }, n) => [start, count(n)]));
  }
}
