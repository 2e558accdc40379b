/** Patterns of the chart, and names beside its series, for those who see few differences between colours. */

import { svg } from "./dom.js";
import { text } from "./chart_shapes.js";

/** Lines of each pattern, in a square of 8 pixels. */
const STROKES = [
  "",
  "M-2 2L2-2M0 8L8 0M6 10L10 6",
  "M2 2h.01M6 6h.01",
  "M-2 6L2 10M0 0L8 8M6-2L10 2",
  "M0 2H8M0 6H8",
  "M-2 2L2-2M0 8L8 0M6 10L10 6M-2 6L2 10M0 0L8 8M6-2L10 2",
  "",
];
const COLOURS = ["0", "1", "2", "3", "4", "5", "others"];
/** Pixels between two names. */
const LINE = 15;
/** Pixels of a character, on average. */
const CHARACTER = 6.6;

/** Returns the definitions of patterns and of the dot on lines. They have no effect until they are referred to. */
export function definitions() {
  const patterns = COLOURS.map((colour, n) => {
    const ground = svg("rect", { width: 8, height: 8, class: `colour-${colour}` });
    return pattern(`texture-${colour}`, ground, svg("path", { class: "texture", d: STROKES[n] }));
  });
  const merged = pattern("texture-merged", svg("path", { class: "texture_merged", d: STROKES[1] }));
  const gap = pattern("texture-gap", svg("path", { class: "texture_gap", d: STROKES[3] }));
  const dot = svg("circle", { cx: 3, cy: 3, r: 2.5, fill: "context-stroke" });
  const place = { id: "dot", markerWidth: 6, markerHeight: 6, refX: 3, refY: 3, markerUnits: "userSpaceOnUse" };
  return svg("defs", {}, ...patterns, merged, gap, svg("marker", place, dot));
}

function pattern(id, ...shapes) {
  return svg("pattern", { id, width: 8, height: 8, patternUnits: "userSpaceOnUse" }, ...shapes);
}

/** Returns the names of the series at the right end of the chart, each beside its last bar or point. */
export function nameShapes(plan, frame) {
  const last = plan.spans.length - 1;
  if (!frame.hasLabels || last < 0) return [];
  const heights = plan.drawn.map((_, n) =>
    plan.borders ? (plan.borders[n][last] + plan.borders[n + 1][last]) / 2 : plan.heights[n][last],
  );
  const places = spread(heights.map(frame.y), LINE, frame.top + 4, frame.bottom);
  const end = frame.x(plan.spans[last].end);
  const room = Math.floor((frame.width - frame.right - 20) / CHARACTER);
  const leader = (n) => `M${end + 2} ${frame.y(heights[n])}L${frame.right + 12} ${places[n]}`;
  return plan.drawn.flatMap(({ label, colour }, n) => [
    svg("path", { class: `leader stroke-${colour}`, d: leader(n) }),
    text("series_name", frame.right + 15, places[n] + 4, shortened(label, room), "start"),
  ]);
}

/** Returns places with at least `gap` between them, close to the given ones and in the same order. */
export function spread(places, gap, low, high) {
  const order = places.map((place, n) => ({ place, n })).sort((a, b) => a.place - b.place);
  order.forEach((each, n) => (each.place = Math.max(each.place, n ? order[n - 1].place + gap : low)));
  order.toReversed().forEach((each, n, all) => (each.place = Math.min(each.place, n ? all[n - 1].place - gap : high)));
  const spaced = new Array(places.length);
  for (const { place, n } of order) spaced[n] = place;
  return spaced;
}

/** Returns a text of at most `n` characters; those of East Asia count twice. */
export function shortened(label, n) {
  let width = 0;
  const fitting = Array.from(label).findIndex((character) => (width += character > "\u2e80" ? 2 : 1) > n);
  return fitting < 0 ? label : `${Array.from(label).slice(0, Math.max(1, fitting - 1)).join("")}…`;
}
