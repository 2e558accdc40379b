/** Rates and changes of rows: those of the last interval in a live view, and those of the whole range otherwise. */

import { changeOf } from "./format.js";
import { countOf } from "./rows.js";

/** Returns the period of rate and change: {start, end, covered_s, counts}; null if nothing has finished in it. */
export function periodOf({ isRange, loaded, spans, answer: { last } }) {
  if (isRange) return withLength(loaded.range, coveredBy(spans));
  return last && last.start !== null ? withLength(last, last.end - last.start) : null;
}

/** Returns the period that it is compared with; null if its counts are unknown. */
export function periodBeforeOf({ isRange, compared }) {
  const found = isRange ? compared.range : compared.last;
  return found && withLength(found, found.covered_s);
}

/** Sets rate, count before and change of all rows. */
export function derive(figures) {
  const { rows, period, periodBefore, hasSessions } = figures;
  const share = period && periodBefore ? period.covered_s / periodBefore.covered_s : 0;
  for (const row of rows) {
    const count = period && countOf(period.counts, row.id);
    row.rate = hasSessions ? figures.meanLengthOf([row.id]) : period && Number(count) / period.covered_s;
    row.before = periodBefore && countOf(periodBefore.counts, row.id);
    row.change = row.before === null || !period ? null : changeOf(Number(count), Number(row.before) * share);
  }
}

function withLength(period, covered_s) {
  return period && { ...period, covered_s };
}

function coveredBy(spans) {
  return spans.reduce((sum, { covered_s }) => sum + covered_s, 0);
}
