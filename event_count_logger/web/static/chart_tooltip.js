/** The box beside the cursor: all series of one span, or the text of annotations. */

import { inRem } from "./chart_frame.js";
import { sumAt } from "./chart_plan.js";
import { element, svg } from "./dom.js";
import { changeOf, formatChange, formatCount, formatPoint, formatShare, formatSpan } from "./format.js";
import { noteOf } from "./spans.js";
import { visible } from "./visible.js";

/** Units of the chart between the cursor and the box. */
const DISTANCE = 14;
/** Narrowest chart with a box: on smaller ones it would cover the bars. The legend has the same counts. */
const NARROW = 520;
/** Most annotations in a box. */
const MOST = 5;
const NAMES = { note: "Note", alert: "Alert", late: "Rotated late", missing: "Missing", lost: "Lost" };

/** Places a box in the chart. */
export class Tooltip {
  #root;

  constructor(root) {
    this.#root = root;
  }

  hide() {
    this.#root.hidden = true;
  }

  /** Shows nodes beside a place, on the side with more room. */
  show(x, top, width, nodes) {
    this.#root.replaceChildren(...nodes);
    this.#root.hidden = false;
    const isRight = x < width / 2;
    this.#root.style.top = inRem(top);
    this.#root.style.left = isRight ? inRem(x + DISTANCE) : "auto";
    this.#root.style.right = isRight ? "auto" : inRem(width - x + DISTANCE);
  }

  /** Shows all series of a span, unless the chart is narrow. */
  showSpan(plan, index, frame) {
    if (frame.width < NARROW) return this.hide();
    const { start, end } = plan.spans[index];
    const x = frame.x((start + end) / 2);
    this.show(x, frame.top, frame.width, spanNodes(plan, index));
  }
}

function spanNodes(plan, index) {
  const span = plan.spans[index];
  const sum = sumAt(plan, index);
  const note = noteOf(span, plan.length_s, sum);
  const annotations = annotationsIn(plan.annotations, span).slice(0, MOST);
  const rows = plan.drawn.toReversed().map((each) => seriesRow(each, each.counts[index] ?? 0, index, plan));
  return [
    element("p", { class: "when" }, formatSpan(span.start, span.end, plan.now)),
    ...(note ? [element("p", { class: "covers" }, note)] : []),
    element("table", {}, ...rows, ...sumRows(plan, index, sum)),
    ...annotations.map((each) => annotationNode(each, plan.now)),
  ];
}

function seriesRow({ label, colour }, count, index, { kind, totals }) {
  const square = svg("rect", { class: `colour-${colour}`, width: 10, height: 10, rx: 2 });
  const mark = svg("svg", { viewBox: "0 0 10 10" }, square);
  const share = kind === "share" ? formatShare(Number(count) / Number(totals[index])) : "";
  return row(mark, label, formatCount(count), share);
}

function row(mark, label, count, detail) {
  const name = element("th", { scope: "row" }, element("bdi", {}, label));
  return element("tr", {}, element("td", {}, mark), name, element("td", {}, count), element("td", {}, detail));
}

function sumRows(plan, index, sum) {
  const rows = plan.drawn.length > 1 ? [row("", "Sum", formatCount(sum), "")] : [];
  if (!plan.compared || plan.compared[index] === null) return rows;
  const before = plan.compared[index] / plan.shares[index];
  const change = formatChange(changeOf(sum, before));
  return [...rows, row("", plan.comparedLabel || "before", formatCount(Math.round(before)), change)];
}

/** Returns the annotations that a span touches. */
export function annotationsIn(annotations, { start, end }) {
  return annotations.filter((each) => each.start < end && (endOf(each) > start || each.start >= start));
}

/** Returns the end of an annotation. An alert without an end still fires. */
function endOf({ kind, start, end }) {
  return end ?? (kind === "alert" ? Infinity : start);
}

/** Returns a paragraph with an annotation. */
export function annotationNode(annotation, now) {
  return element("p", { class: annotation.kind }, annotationText(annotation, now));
}

/** Returns an annotation in words: its kind, its text and its time. */
export function annotationText({ kind, start, end, text }, now) {
  const isPoint = end === null || end === start;
  const point = formatPoint(start, now);
  const when = !isPoint ? formatSpan(start, end, now) : kind === "alert" ? `since ${point}` : point;
  return `${NAMES[kind] ?? visible(String(kind))}: ${visible(text ?? "")} (${when})`;
}
