/** Small line charts: the history of an event in the table, and of a group in the overview. */

import { setAttribute, svg } from "./dom.js";

const WIDTH = 100;
const HEIGHT = 22;
/** Fewest slots that the width is divided into, as in the chart. */
const FEWEST = 24;
/** Shapes in the order of drawing. */
const PARTS = ["usual", "line", "merged", "end"];

/** Creates an empty line chart. A style sheet gives it width and height. */
export function newSparkline() {
  const shape = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" };
  const parts = PARTS.map((part) => svg("path", { class: part }));
  return svg("svg", { class: "sparkline", "aria-hidden": "true", ...shape }, ...parts);
}

/**
 * Draws the trend of a group into an svg of `newSparkline()`.
 *
 * @param trend `counts`: a rate per slot, or null where the history is missing; `merged`: indices of slots that share
 *   one long interval; `usual`: [low, high] of the usual counts, or null.
 */
export function drawTrend(node, { counts, merged = [], usual = null }) {
  const isMerged = new Set(merged);
  const points = counts.map((value, n) => ({ from: n, to: n, value, isMerged: isMerged.has(n) }));
  draw(node, pathsOf(points, counts.length, usual));
}

/**
 * Draws the history of a row. The row caches its paths, because each scroll draws it again.
 *
 * @param timeline the result of `timelineOf`; without it all intervals count as equally long.
 */
export function drawSparkline(node, row, timeline = null) {
  row.sparkline ??= historyPaths(row.history, timeline ?? evenTimeline(row.history.length));
  draw(node, row.sparkline);
}

/** Returns the places of spans on a line of slots as long as the interval: {slots, places: [{from, to, share}]}. */
export function timelineOf(spans, length_s) {
  if (!spans.length) return evenTimeline(0);
  const { start } = spans[0];
  const slot = (time) => (time - start) / length_s;
  const places = spans.map((span) => {
    const covered_s = span.covered_s ?? span.end - span.start;
    const [from, to] = [slot(span.start), Math.max(slot(span.start), slot(span.end) - 1)];
    return { from, to, share: length_s / covered_s, isMerged: covered_s > length_s * 1.001 };
  });
  return { slots: slot(spans.at(-1).end), places };
}

function evenTimeline(slots) {
  return { slots, places: Array.from({ length: slots }, (_, n) => ({ from: n, to: n, share: 1, isMerged: false })) };
}

function historyPaths(counts, { slots, places }) {
  const points = places.map((place, n) => {
    const count = counts[n] ?? null;
    return { ...place, value: count === null ? null : Number(count) * place.share };
  });
  return pathsOf(points, slots, null);
}

function draw(node, paths) {
  PARTS.forEach((part, n) => setAttribute(node.children[n], "d", paths[part]));
}

/**
 * Returns the paths of a line through points, with a gap for null. The axis starts at 0, so that noise stays small.
 *
 * A point is {from, to, value, isMerged}: slots, and a count per slot. A slot without a point is a gap, too.
 */
export function pathsOf(points, slots, usual) {
  const highest = Math.max(1e-9, ...points.map(({ value }) => value ?? 0), usual?.[1] ?? 0);
  const step = WIDTH / (Math.max(FEWEST, slots) - 1 || 1);
  const x = (slot) => (WIDTH - step * (slots - 1 - slot)).toFixed(1);
  const y = (value) => (HEIGHT - 2 - (value / highest) * (HEIGHT - 4)).toFixed(1);
  const paths = { usual: usual && band(usual.map(y)), line: "", merged: "", end: null };
  let before = null;
  for (const point of points.filter(({ value }) => value !== null)) {
    const height = y(point.value);
    const isNext = before !== null && point.from - before.to < 1.5;
    paths.line += `${isNext ? "L" : "M"}${x(point.from)} ${height}`;
    if (point.to > point.from || !isNext) paths.line += `H${x(point.to)}`;
    if (point.isMerged) paths.merged += `M${x(point.from - 0.5)} ${height}H${x(point.to + 0.5)}`;
    before = point;
  }
  if (before) paths.end = `M${x(before.to)} ${y(before.value)}h0`;
  return paths;
}

function band([low, high]) {
  return `M0 ${low}V${high}H${WIDTH}V${low}Z`;
}
