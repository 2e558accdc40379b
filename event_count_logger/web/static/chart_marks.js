/** Annotations above the chart: one button per place, which shows their texts on hover and focus. */

import { element } from "./dom.js";
import { rove } from "./roving.js";
import { inRem } from "./chart_frame.js";
import { annotationNode, annotationsIn, annotationText } from "./chart_tooltip.js";

/** Units of the chart within which annotations share a button. */
const NEAR = 18;
/** Most texts in one box. */
const MOST = 12;
/** Marks of each kind, the most severe first. U+FE0E asks for text instead of an emoji. */
const MARKS = { alert: "▲", lost: "×", missing: "○", late: "↔\ufe0e", note: "▼" };

/** Draws annotations into a list. */
export class Marks {
  #root;
  #tooltip;
  #clusters = [];
  #plan = null;
  #frame = null;

  constructor(root, tooltip) {
    this.#root = root;
    this.#tooltip = tooltip;
    rove(root);
    for (const name of ["focusin", "pointerover"]) root.addEventListener(name, ({ target }) => this.#point(target));
    for (const name of ["focusout", "pointerout"]) root.addEventListener(name, () => tooltip.hide());
  }

  /** Shows the annotations of a plan. Equal ones stay, and only move. */
  show(plan, frame) {
    this.#plan = plan;
    this.#frame = frame;
    this.#clusters = clustersOf(plan, frame);
    const items = this.#clusters.map((cluster) => itemOf(cluster, plan.now));
    const shown = this.#root.children;
    const keysOf = (nodes) => JSON.stringify(Array.from(nodes, ({ dataset }) => dataset.key));
    const isEqual = keysOf(items) === keysOf(shown);
    if (!isEqual) this.#root.replaceChildren(...items);
    this.#clusters.forEach(({ x }, n) => (shown[n].style.left = inRem(x)));
    this.#root.style.top = inRem(frame.top - 20);
  }

  /** Returns what is shown: {x, y, mark, colour}. */
  shown() {
    const buttons = [...this.#root.querySelectorAll("button")];
    return buttons.map((button, n) => {
      const { color } = getComputedStyle(button);
      return { x: this.#clusters[n].x, y: this.#frame.top - 7, mark: button.textContent, colour: color };
    });
  }

  #point(target) {
    const index = [...this.#root.children].indexOf(target.closest("li"));
    if (index < 0) return;
    const { x, annotations } = this.#clusters[index];
    const texts = annotations.slice(0, MOST).map((each) => annotationNode(each, this.#plan.now));
    const more = annotations.length - MOST;
    const rest = more > 0 ? [element("p", {}, `${more} more`)] : [];
    this.#tooltip.show(x, this.#frame.top, this.#frame.width, [...texts, ...rest]);
  }
}

/** Returns annotations by place: {x, kind, annotations}. The kind is the most severe one. */
export function clustersOf({ annotations, from, to }, { x, left, right }) {
  const clusters = [];
  const shown = annotationsIn(annotations, { start: from, end: to });
  for (const each of shown.toSorted((a, b) => a.start - b.start)) {
    const place = Math.min(right, Math.max(left, x(each.start)));
    if (clusters.length && place - clusters.at(-1).x < NEAR) clusters.at(-1).annotations.push(each);
    else clusters.push({ x: place, annotations: [each] });
  }
  return clusters.map((cluster) => ({ ...cluster, kind: worstOf(cluster.annotations) }));
}

function worstOf(annotations) {
  return Object.keys(MARKS).find((kind) => annotations.some((each) => each.kind === kind)) ?? "note";
}

function itemOf({ kind, annotations }, now) {
  const texts = annotations.map((each) => annotationText(each, now));
  const n = annotations.length > 1 ? [element("small", {}, String(annotations.length))] : [];
  const button = element("button", { type: "button", "aria-label": texts.join(". ") }, MARKS[kind] ?? MARKS.note, ...n);
  const item = element("li", { class: kind }, button);
  item.dataset.key = JSON.stringify([kind, texts]);
  return item;
}
