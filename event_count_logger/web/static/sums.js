/** Sums of the rows that a filter selects. */

import { add, sumOf } from "./counts.js";
import { changeOf } from "./format.js";

/**
 * Returns the sums of rows: {last, current, total, sum, before, change}.
 *
 * A sum is null if there are no counts yet, and undefined if the rows with this filter have not arrived yet.
 */
export function sumsOf(figures, rows, filter) {
  const { answer } = figures;
  const has = { last: answer.last, current: answer.current, total: answer.totals, sum: figures.spans.length };
  const ofRows = (column) => (isComplete(figures) ? sumOf(rows.map((row) => row[column])) : undefined);
  const known = !isComplete(figures) && figures.filter === filter ? answeredSums(figures) : {};
  const sum = (column) => (has[column] ? (known[column] ?? ofRows(column)) : null);
  const sums = { last: sum("last"), current: sum("current"), total: sum("total"), sum: sum("sum") };
  const before = figures.periodBefore && (known.before ?? ofRows("before"));
  return { ...sums, before, change: changeOfSums(figures, figures.isRange ? sums.sum : sums.last, before) };
}

/** Returns the sums of one row. Of a range without an interval, the sum is unknown. */
export function sumsOfRow({ spans }, { last, current, total, sum, before, change }) {
  return { last, current, total, sum: spans.length ? sum : null, before, change };
}

/** Returns the span with the largest sum of the rows: {count, span}; null if that is unknown. */
export function highestOf(figures, rows, filter) {
  const sums = isComplete(figures) || filter === null ? sumsOfSpans(rows, figures.spans.length) : null;
  const counts = sums ?? (figures.filter === filter ? figures.loaded.sums.history : []);
  if (!counts.length) return null;
  const at = counts.reduce((best, count, n) => (count > counts[best] ? n : best), 0);
  return { count: counts[at], span: figures.spans[at] };
}

function sumsOfSpans(rows, n_spans) {
  const sums = new Array(n_spans).fill(0);
  for (const { history } of rows) {
    for (let n = 0; n < n_spans; n += 1) if (history[n]) sums[n] = add(sums[n], history[n]);
  }
  return sums;
}

/** Returns true if all rows of the group are in the page. */
function isComplete({ isWhole, rows, n_events }) {
  return isWhole && rows.length >= n_events;
}

function answeredSums({ answer, loaded: { sums, range }, periodBefore }) {
  return { ...answer.sums, sum: range?.sum ?? sumOf(sums.history), before: periodBefore?.sum };
}

function changeOfSums({ period, periodBefore }, count, before) {
  if (!period || !periodBefore || count === null || count === undefined || before === undefined) return null;
  return changeOf(Number(count), (Number(before) * period.covered_s) / periodBefore.covered_s);
}
