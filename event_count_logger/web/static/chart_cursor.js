/** Pointer and keys of the chart: a cursor over spans, and a selection that zooms. */

import { spanAt, unitPixels } from "./chart_frame.js";

/** Units of the chart that a pointer moves before a press becomes a selection: to another span, and within one. */
const DRAG = 6;
const DRAG_WITHIN = 24;

/**
 * Calls `moved()` when the cursor or the selection changes, and `zooms(since, until)` when a selection ends.
 *
 *   arrow keys, Home, End    move the cursor
 *   shift with these keys    select from the cursor
 *   Enter                    zoom into the selection
 *   Escape                   drop the selection
 *   drag                     select, and zoom at the end
 */
export class Cursor {
  #svg;
  #moved;
  #zooms;
  #plan = { spans: [] };
  #frame = null;
  #at = null; // start of the span under the cursor
  #anchor = null; // start of the span where the selection began
  #press = null; // {x, index} of a pointer that is down

  constructor(svg, moved, zooms) {
    this.#svg = svg;
    this.#moved = moved;
    this.#zooms = zooms;
    svg.addEventListener("pointerdown", (event) => this.#down(event));
    svg.addEventListener("pointermove", (event) => this.#move(event));
    svg.addEventListener("pointerup", (event) => this.#up(event));
    for (const name of ["pointercancel", "blur"]) svg.addEventListener(name, () => this.#set(null, null));
    svg.addEventListener("pointerleave", (event) => this.#leave(event));
    svg.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Takes what the chart shows. The cursor stays on its span. */
  show(plan, frame) {
    [this.#plan, this.#frame] = [plan, frame];
    if (this.index === null) this.#at = this.#anchor = null;
  }

  /** Index of the span under the cursor; null without a cursor. */
  get index() {
    return this.#indexOf(this.#at);
  }

  /** First and last index of the selection; null without one. */
  get selection() {
    const [a, b] = [this.#indexOf(this.#anchor), this.index];
    return a === null || b === null ? null : [Math.min(a, b), Math.max(a, b)];
  }

  #indexOf(start) {
    const index = start === null ? -1 : this.#plan.spans.findIndex((span) => span.start === start);
    return index < 0 ? null : index;
  }

  #set(index, anchor) {
    const start = (each) => (each === null ? null : (this.#plan.spans[each]?.start ?? null));
    const [at, from] = [start(index), start(anchor)];
    if (index === null) this.#press = null;
    if (at === this.#at && from === this.#anchor) return;
    [this.#at, this.#anchor] = [at, from];
    this.#moved();
  }

  #place({ clientX }) {
    const x = (clientX - this.#svg.getBoundingClientRect().left) / unitPixels();
    return { x, index: spanAt(x, this.#plan, this.#frame) };
  }

  #down(event) {
    if (event.button !== 0 || !this.#plan.spans.length) return;
    this.#press = this.#place(event);
    this.#set(this.#press.index, null);
    this.#svg.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (!this.#plan.spans.length || !this.#frame) return;
    const { x, index } = this.#place(event);
    const isDrag = this.#press !== null && (this.#anchor !== null || isFar(this.#press, { x, index }));
    if (this.#press || event.pointerType === "mouse") this.#set(index, isDrag ? this.#press.index : null);
  }

  /** Hides the cursor of a mouse. A touch ends in the same place, and its cursor stays. */
  #leave({ pointerType }) {
    if (pointerType === "mouse" && !this.#press) this.#set(null, null);
  }

  #up() {
    this.#press = null;
    this.#zoom();
  }

  #zoom() {
    const { selection } = this;
    if (!selection) return;
    const [first, last] = selection.map((index) => this.#plan.spans[index]);
    this.#set(null, null);
    this.#zooms(first.start, last.end);
  }

  #key(event) {
    const last = this.#plan.spans.length - 1;
    const at = this.index ?? last;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (event.key === "Enter" && this.selection) this.#zoom();
    else if (event.key === "Escape" && this.selection) this.#set(at, null);
    else if (to !== undefined && last >= 0) this.#step(at, Math.min(last, Math.max(0, to)), event.shiftKey);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #step(at, to, isSelecting) {
    const anchor = this.selection && isSelecting ? this.#indexOf(this.#anchor) : at;
    this.#set(to, isSelecting ? anchor : null);
  }
}

function isFar(a, b) {
  return Math.abs(a.x - b.x) > (a.index === b.index ? DRAG_WITHIN : DRAG);
}
