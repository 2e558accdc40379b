/** The places of a chart, in units of its coordinates. */

import { axisOf } from "./chart_plan.js";
import { remPixels } from "./dom.js";
import { formatCompact } from "./format.js";

/** Units of the chart per `rem`. A unit is a pixel, and more in very wide windows. */
export const UNITS_PER_REM = 10;
/** Units per mark of the axis of counts, and of a logarithmic one. */
const TICK = 40;
const LOG_TICK = 26;
/** Narrowest chart with the names of its series at the right. */
const LABELLED = 640;
/** Units of a digit, of the row with the unit, of the row with annotations, and of the axis of time. */
const DIGIT = 7.2;
const UNIT_ROW = 26;
const MARKS_ROW = 20;
const TIME_ROWS = 38;

/**
 * Returns where a plan is drawn: {width, height, left, right, top, bottom, axis, x(time), y(count), hasLabels}.
 *
 * The left margin is as wide as the labels of the axis, the right one has room for the names of several series.
 */
export function frameOf(plan, width, height) {
  const top = UNIT_ROW + (plan.annotations.length ? MARKS_ROW : 0);
  const bottom = height - TIME_ROWS;
  const axis = axisOf(plan, Math.max(2, Math.floor((bottom - top) / (plan.isLog ? LOG_TICK : TICK))));
  const left = Math.ceil(10 + DIGIT * Math.max(3, ...axis.ticks.map(({ label }) => label.length)));
  const hasLabels = width >= LABELLED && plan.drawn.length > 1;
  const right = width - (hasLabels ? (width > 1300 ? 170 : 130) : 12);
  const x = (time) => left + ((time - plan.from) / (plan.to - plan.from)) * (right - left);
  const y = (value) => bottom - axis.y(value) * (bottom - top);
  return { width, height, left, right, top, bottom, axis, x, y, hasLabels };
}

/** Returns the pixels of a unit of the chart. */
export function unitPixels() {
  return remPixels() / UNITS_PER_REM;
}

/** Returns a length of the chart for a style sheet. */
export function inRem(units) {
  return `${units / UNITS_PER_REM}rem`;
}

/** Returns the left and right edge of a span. Wide bars have a gap between them, at whole units. */
export function edgesOf(span, { x }) {
  const [left, right] = [x(span.start), x(span.end)];
  if (right - left < 4) return [left, right];
  const gap = Math.min(2, Math.max(1, (right - left) * 0.15));
  return [Math.round(left) + gap / 2, Math.round(right) - gap / 2];
}

/** Returns the index of the span at a horizontal place, or of the nearest one; -1 without spans. */
export function spanAt(place, { spans }, { x }) {
  const after = spans.findIndex((span) => place < x(span.end));
  if (after <= 0) return after < 0 ? spans.length - 1 : 0;
  const [before, next] = [spans[after - 1], spans[after]];
  return place < x(next.start) && place - x(before.end) < x(next.start) - place ? after - 1 : after;
}

/** Returns the label of a limit, in the style of the axis. */
export function limitLabel({ kind, value }) {
  return `alert ${kind} ${formatCompact(value)}`;
}
