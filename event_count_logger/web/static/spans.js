/** Spans of the chart, as pure functions: their true lengths, the gaps between them, and heights by rate. */

import { formatCompact, formatDuration } from "./format.js";

/** Relative difference of lengths that is not mentioned. */
const TOLERANCE = 0.001;
const UNITS = [
  [604_800, "w"],
  [86_400, "d"],
  [3600, "h"],
  [60, "m"],
  [1, "s"],
];

/** Returns for each span the factor from its count to a count per interval. */
export function sharesOf(spans, length_s) {
  return spans.map((span) => length_s / (coveredBy(span) || length_s));
}

/** Returns the seconds of a span that its intervals cover. */
export function coveredBy({ start, end, covered_s }) {
  return covered_s ?? end - start;
}

/** Returns true if a span is longer than an interval, so that its bar shows a rate. */
export function isMerged(span, length_s) {
  return coveredBy(span) > length_s * (1 + TOLERANCE);
}

/** Returns the words about a span that is longer or shorter than an interval; null for any other span. */
export function noteOf(span, length_s, count) {
  const covered_s = coveredBy(span);
  if (Math.abs(covered_s - length_s) <= length_s * TOLERANCE) return null;
  const perInterval = roundedRate((Number(count) * length_s) / covered_s);
  const rate = `rate shown: ${formatCompact(perInterval)} per ${lengthName(length_s)}`;
  if (covered_s < length_s) return `covers ${formatDuration(covered_s)} of ${lengthName(length_s)}, ${rate}`;
  const n = covered_s / length_s;
  return `covers ${Math.abs(n - Math.round(n)) < 0.01 ? Math.round(n) : n.toFixed(1)} intervals, ${rate}`;
}

function roundedRate(rate) {
  return Number(rate.toPrecision(3));
}

/** Returns the name of a length, such as `5m`, `1h`, `90s`. */
export function lengthName(length_s) {
  const [unit_s, unit] = UNITS.find(([each]) => length_s % each === 0) ?? UNITS.at(-1);
  return `${length_s / unit_s}${unit}`;
}

/** Returns the times between `from` and the last span that no span covers: {start, end}. */
export function gapsOf(spans, from) {
  const gaps = [];
  let covered = from;
  for (const { start, end } of spans) {
    if (start > covered + 1e-6) gaps.push({ start: covered, end: start });
    covered = Math.max(covered, end);
  }
  return gaps;
}

/** Returns the heights of series: for each, a count per interval and span. */
export function heightsOf(series, shares) {
  return series.map(({ counts }) => shares.map((share, n) => Number(counts[n] ?? 0) * share));
}

/** Returns the heights of the borders between the series, from the base line up, for each span. */
export function stacked(heights, n_spans) {
  const borders = [new Array(n_spans).fill(0)];
  for (const each of heights) {
    const below = borders.at(-1);
    borders.push(each.map((height, n) => below[n] + height));
  }
  return borders;
}

/** Returns heights as percentages of totals; 0 where the total is 0. */
export function percentages(heights, totals, shares) {
  const whole = shares.map((share, n) => Number(totals[n] ?? 0) * share);
  return heights.map((each) => each.map((height, n) => (whole[n] > 0 ? (100 * height) / whole[n] : 0)));
}
