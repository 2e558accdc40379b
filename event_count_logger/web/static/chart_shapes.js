/** Shapes of the chart: axes, bars, lines, gaps, limits. Each function returns svg elements. */

import { edgesOf, limitLabel } from "./chart_frame.js";
import { svg } from "./dom.js";
import { isMerged, lengthName } from "./spans.js";
import { midnights, timeTicks } from "./time_axis.js";
import { visible } from "./visible.js";

const DAY_S = 86_400;
/** Intervals up to which lines have a dot at each of them. */
const DOTTED = 40;

/** Axes, with lines where a day begins, and the unit. */
export function axisShapes(plan, frame) {
  const { left, right, top, bottom, axis, x, y, height } = frame;
  const ticks = timeTicks(plan.from, plan.to, right - left);
  const isOfDay = ticks.length > 1 && ticks[1].at - ticks[0].at < DAY_S * 0.9;
  const days = isOfDay ? midnights(plan.from, plan.to) : [];
  const unit = plan.kind === "share" ? `share of ${plan.unit}` : `${plan.unit} per ${lengthName(plan.length_s)}`;
  return [
    ...days.map((at) => svg("path", { class: "day", d: `M${x(at)} ${top}V${bottom}` })),
    ...axis.ticks.map(({ value }) => svg("path", { class: "grid", d: `M${left} ${y(value)}H${right}` })),
    ...axis.ticks.map(({ value, label }) => text("tick count", left - 8, y(value) + 4, label, "end")),
    text("unit", 0, 12, `${visible(unit)}${plan.isLog ? ", logarithmic" : ""}`, "start"),
    ...timeLabels(ticks, frame, height),
  ];
}

function timeLabels(ticks, { x, left, right, bottom }, height) {
  const anchor = (at) => (x(at) < left + 22 ? "start" : x(at) > right - 22 ? "end" : "middle");
  const below = ticks.filter(({ below }) => below);
  const isCrowded = below.length > 1 && x(below[1].at) - x(below[0].at) < 120;
  const dates = isCrowded ? below.slice(1) : below;
  return [
    ...ticks.map(({ at }) => svg("path", { class: "tick_mark", d: `M${x(at)} ${bottom}v4` })),
    ...ticks.map(({ at, label }) => text("tick time", x(at), height - 20, label, anchor(at))),
    ...dates.map(({ at, below }) => text("tick date", x(at), height - 4, below, anchor(at))),
  ];
}

/** Returns a text at a place. */
export function text(name, x, y, content, anchor) {
  return svg("text", { class: name, x, y, "text-anchor": anchor }, content);
}

/** The times without history, and bands of alerts. */
export function backgroundShapes(plan, { x, left, right, top, bottom }) {
  const clamp = (time) => Math.min(right, Math.max(left, x(time)));
  const band = (name, start, end, fill) => {
    const [from, to] = [clamp(start), clamp(end ?? Math.max(plan.now, start))];
    return svg("rect", { class: name, x: from, y: top, width: Math.max(1, to - from), height: bottom - top, fill });
  };
  const alerts = plan.annotations.filter(({ kind }) => kind === "alert");
  return [
    ...plan.gaps.map(({ start, end }) => band("gap", start, end, "url(#texture-gap)")),
    ...alerts.map(({ start, end }) => band("alert_band", start, end, null)),
  ];
}

/** The series: bars, or lines. `isTextured`: bars have patterns, and lines have dashes. */
export function seriesShapes(plan, frame, isTextured) {
  const shapes = plan.drawn.map(({ colour }, n) => {
    if (!plan.borders) return lineOf(plan, frame, plan.heights[n], `line colour-${colour}`, isTextured);
    const [lower, upper] = [plan.borders[n], plan.borders[n + 1]];
    const name = isWide(plan, frame) ? "bars wide" : "bars";
    return svg("path", { ...fillOf(colour, isTextured, name), d: barsPath(plan.spans, lower, upper, frame) });
  });
  return shapes.concat(mergedShapes(plan, frame), baseLine(plan, frame));
}

/** Returns true if bars are so wide that lines between their parts leave most of them. */
function isWide({ length_s, from, to }, { left, right }) {
  return ((right - left) * length_s) / (to - from) > 7;
}

/** Returns the attributes of a shape in a colour, or in the pattern of this colour. */
export function fillOf(colour, isTextured, name = "") {
  return isTextured ? { class: name, fill: `url(#texture-${colour})` } : { class: `${name} colour-${colour}`.trim() };
}

function barsPath(spans, lower, upper, frame) {
  let path = "";
  spans.forEach((span, n) => {
    if (upper[n] <= lower[n]) return;
    const [left, right] = edgesOf(span, frame);
    const [low, high] = [frame.y(lower[n]), frame.y(upper[n])];
    path += `M${left} ${low.toFixed(1)}V${high.toFixed(1)}H${right}V${low.toFixed(1)}Z`;
  });
  return path;
}

/** Returns a line through the middle of each interval. It is level across a long one, and has gaps like the spans. */
function lineOf(plan, frame, heights, name, isTextured = false) {
  let path = "";
  let end = null;
  plan.spans.forEach((span, n) => {
    if (heights[n] === null) return (end = null);
    const half = Math.min(plan.length_s, span.end - span.start) / 2;
    const [from, to, y] = [frame.x(span.start + half), frame.x(span.end - half), frame.y(heights[n]).toFixed(1)];
    const isNext = end !== null && span.start - end < plan.length_s / 10;
    path += `${isNext ? "L" : "M"}${from.toFixed(1)} ${y}${isNext && to - from < 0.1 ? "" : `H${to.toFixed(1)}`}`;
    end = span.end;
  });
  const marker = plan.spans.length <= DOTTED ? "url(#dot)" : null;
  return svg("path", { class: `${name}${isTextured ? " dashed" : ""}`, d: path, "marker-mid": marker });
}

/** Hatches and underlines the spans that cover several intervals. */
function mergedShapes(plan, frame) {
  const merged = plan.spans.map((span, n) => [span, n]).filter(([span]) => isMerged(span, plan.length_s));
  const hatch = ([span, n]) => {
    const [left, right] = edgesOf(span, frame);
    const y = frame.y(plan.borders.at(-1)[n]);
    const place = { x: left, width: right - left, y, height: Math.max(0, frame.bottom - y) };
    return svg("rect", { class: "merged_hatch", fill: "url(#texture-merged)", ...place });
  };
  const underline = ([span]) => `M${edgesOf(span, frame)[0]} ${frame.bottom + 1}H${edgesOf(span, frame)[1]}`;
  const line = svg("path", { class: "merged_base", d: merged.map(underline).join("") });
  return [...(plan.borders ? merged.map(hatch) : []), ...(merged.length ? [line] : [])];
}

/** Returns the line below the bars. It covers each finished interval, so that a gap shows a missing one. */
function baseLine({ spans }, frame) {
  const path = spans.map((span) => edgesOf(span, frame)).map(([left, right]) => `M${left} ${frame.bottom}H${right}`);
  return svg("path", { class: "base", d: path.join("") });
}

/** Lines over the series: the sum, the comparison, limits, and annotations. */
export function lineShapes(plan, frame) {
  const { left, right, top, bottom, x, y } = frame;
  const notes = plan.annotations.filter(({ kind, start }) => kind === "note" && start >= plan.from && start <= plan.to);
  const compared = plan.compared && comparedLine(plan, frame);
  const steps = plan.borders ? " steps" : "";
  const comparedNames = compared ? ["compared_halo", `compared_line${steps}`] : [];
  return [
    ...notes.map(({ start }) => svg("path", { class: "note_line", d: `M${x(start)} ${top}V${bottom}` })),
    ...(plan.sum ? [lineOf(plan, frame, plan.sum, "sum_line")] : []),
    ...comparedNames.map((name) => svg("path", { class: name, d: compared })),
    ...plan.limits.map(({ value }) => svg("path", { class: "limit", d: `M${left} ${y(value)}H${right}` })),
    ...plan.limits.map((limit) => text("limit", left + 6, y(limit.value) - 5, limitLabel(limit), "start")),
  ];
}

/** Returns steps as wide as the bars, or points in the middle of intervals as the lines. */
function comparedLine(plan, frame) {
  if (!plan.borders) return lineOf(plan, frame, plan.compared, "compared").getAttribute("d");
  let path = "";
  let end = null;
  plan.spans.forEach((span, n) => {
    if (plan.compared[n] === null) return (end = null);
    const [from, to, y] = [frame.x(span.start), frame.x(span.end), frame.y(plan.compared[n]).toFixed(1)];
    path += `${end === null || span.start - end > plan.length_s / 10 ? `M${from} ` : "V"}${y}H${to}`;
    end = span.end;
  });
  return path;
}
