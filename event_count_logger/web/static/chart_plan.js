/** The content of the chart before it has a size, as pure functions. */

import { sumOf } from "./counts.js";
import { linearAxis, logAxis, percentAxis } from "./scales.js";
import { COMPARED, isHidden, seriesOf } from "./series.js";
import { gapsOf, heightsOf, percentages, sharesOf, stacked } from "./spans.js";

/** Fewest intervals that the width is divided into, so that a short history has bars and not blocks. */
const FEWEST = 24;
/** A limit that is more than this many times as high as the highest bar is not drawn: bars would vanish. */
const FURTHEST_LIMIT = 3;

const DEFAULTS = {
  ...{ spans: [], length_s: 1, now: 0, rows: [], sums: null, compared: null, comparedLabel: "", limits: [] },
  ...{ annotations: [], unit: "events", selected: null, chart: "stacked", log: false, pick: "size", hide: [] },
  ...{ from: null, to: null, begin: null },
};

/**
 * Returns what the chart of a view shows.
 *
 *   kind           `stacked`, `lines` or `share`
 *   series         all series, drawn and hidden ones, as `seriesOf` returns them
 *   drawn          those that are drawn, and `heights`: theirs, per interval or in percent
 *   borders        of stacked series, from the base line up; null for lines
 *   sum, compared  heights of further lines; null if they are not drawn. `canCompare`: they are not drawn if hidden
 *   limits, gaps, from, to, highest, lowest (above 0), hasZero, totals, shares, striking
 */
export function planOf(view, colours) {
  const full = { ...DEFAULTS, ...view };
  const shares = sharesOf(full.spans, full.length_s);
  const found = seriesOf(full, shares, colours);
  const kind = kindOf(full);
  const drawn = found.series.filter(({ isHidden }) => !isHidden);
  const absolute = heightsOf(drawn, shares);
  const heights = kind === "share" ? percentages(absolute, found.totals, shares) : absolute;
  const borders = kind === "lines" ? null : stacked(heights, shares.length);
  const plan = { ...full, ...found, shares, kind, drawn, heights, borders, isLog: full.log && kind === "lines" };
  return { ...plan, ...linesOf(plan), ...rangeOf(full) };
}

/** Returns the kind of a chart. A logarithmic axis has lines only: stacked heights on it cannot be compared. */
export function kindOf({ chart, log }) {
  return chart === "stacked" && log ? "lines" : chart;
}

/** Returns lines about the sum of all events. They need all series, and a share has none. */
function linesOf({ kind, drawn, series, heights, borders, totals, shares, compared, limits, spans, hide }) {
  const isWhole = kind !== "share" && drawn.length === series.length && spans.length > 0;
  const isSum = borders !== null || series.length === 1;
  const canCompare = isWhole && (compared ?? []).some((count) => count !== null);
  const hasLines = canCompare && !isHidden(COMPARED, hide);
  const lines = {
    canCompare,
    sum: hasLines && !isSum ? shares.map((share, n) => ratedOrNull(totals[n], share)) : null,
    compared: hasLines ? shares.map((share, n) => ratedOrNull(compared[n], share)) : null,
  };
  const tops = [...(borders ? [borders.at(-1)] : heights), lines.sum ?? [], lines.compared ?? []];
  const highest = tops.flat().reduce((most, value) => Math.max(most, value ?? 0), 0);
  const lowest = tops.flat().reduce((least, value) => (value > 0 ? Math.min(least, value) : least), Infinity);
  const isNear = ({ value }) => value <= FURTHEST_LIMIT * Math.max(1, highest);
  const hasZero = tops.flat().includes(0);
  return { ...lines, highest, lowest, hasZero, limits: isWhole && (isSum || lines.sum) ? limits.filter(isNear) : [] };
}

function ratedOrNull(count, share) {
  return count === null || count === undefined ? null : Number(count) * share;
}

function rangeOf({ spans, length_s, from, to, begin, now }) {
  const end = to ?? spans.at(-1)?.end ?? now;
  const start = from ?? Math.min(spans[0]?.start ?? end, end - FEWEST * length_s);
  return { from: start, to: Math.max(end, start + length_s), gaps: gapsOf(spans, Math.max(from ?? spans[0]?.start ?? end, begin ?? 0)) };
}

/** Returns the exact sum of the drawn series in a span. */
export function sumAt({ drawn, series, totals, selected }, index) {
  const isWhole = drawn.length === series.length && selected === null;
  return isWhole ? (totals[index] ?? 0) : sumOf(drawn.map(({ counts }) => counts[index] ?? null));
}

/** Returns the axis of a plan with about `n` ticks. */
export function axisOf({ kind, isLog, highest, lowest, hasZero, limits, drawn, series }, n) {
  if (kind === "share") return percentAxis(drawn.length === series.length ? 100 : Math.max(1, highest), n);
  const most = Math.max(highest, ...limits.map(({ value }) => value));
  if (isLog && most > 0) return logAxis(Math.min(lowest, most), most, n, hasZero);
  return linearAxis(Math.max(1, most), n);
}
