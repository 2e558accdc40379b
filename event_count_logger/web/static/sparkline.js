/** A small line chart of an event's history. */

import { setAttribute, svg } from "./dom.js";

const WIDTH = 100;
const HEIGHT = 22;
/** Fewest intervals that the width is divided into, as in the chart. */
const FEWEST = 24;

/** Creates an empty sparkline. */
export function newSparkline() {
  const shape = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" };
  return svg("svg", { class: "sparkline", "aria-hidden": "true", ...shape }, svg("path"));
}

/** Draws the history of a row. The row caches its path, because each scroll draws it again. */
export function drawSparkline(node, row) {
  row.sparkline ??= linePath(row.history);
  setAttribute(node.firstChild, "d", row.sparkline);
}

/** Returns the path of a line through counts, with a gap for null. The axis starts at 0, so that noise stays small. */
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
