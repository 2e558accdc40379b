/** A small line of an event's history. */

import { setAttribute, svg } from "./dom.js";

const WIDTH = 100;
const HEIGHT = 22;
/** Intervals for which there is room at least, as in the chart. */
const FEWEST = 24;

/** An empty one. */
export function newSparkline() {
  const shape = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" };
  return svg("svg", { class: "sparkline", "aria-hidden": "true", ...shape }, svg("path"));
}

/** Draws the history of a row, whose line is kept there: rows are drawn again with each scroll. */
export function drawSparkline(node, row) {
  row.sparkline ??= linePath(row.history);
  setAttribute(node.firstChild, "d", row.sparkline);
}

/** The line of some counts; it has a gap where there is none. Starts at 0, so that noise looks like noise. */
export function linePath(counts) {
  const max = Math.max(1, ...counts.map(Number));
  const step = WIDTH / (Math.max(FEWEST, counts.length) - 1);
  const left = WIDTH - step * (counts.length - 1);
  let path = "";
  let isDrawing = false;
  counts.forEach((count, index) => {
    if (count !== null) {
      const y = HEIGHT - 1 - (Number(count) / max) * (HEIGHT - 2);
      path += `${isDrawing ? "L" : "M"}${(left + index * step).toFixed(1)} ${y.toFixed(1)}${isDrawing ? "" : "h0"}`;
    }
    isDrawing = count !== null;
  });
  return path;
}
