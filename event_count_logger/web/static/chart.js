/** The chart of a group: finished intervals as stacked bars, lines or shares. The width of a bar is its true length. */

import { Cursor } from "./chart_cursor.js";
import { edgesOf, frameOf, unitPixels } from "./chart_frame.js";
import { Legend } from "./chart_legend.js";
import { Marks } from "./chart_marks.js";
import { pictureOf } from "./chart_picture.js";
import { planOf, sumAt } from "./chart_plan.js";
import { axisShapes, backgroundShapes, lineShapes, seriesShapes } from "./chart_shapes.js";
import { definitions, nameShapes } from "./chart_textures.js";
import { annotationText, annotationsIn, Tooltip } from "./chart_tooltip.js";
import { Tools } from "./chart_tools.js";
import { sumOf } from "./counts.js";
import { setAttribute, setText, svg } from "./dom.js";
import { formatCount, formatSpan } from "./format.js";
import { Colours } from "./series.js";
import { noteOf } from "./spans.js";
import { visible } from "./visible.js";

/** Preferences in which patterns and dashes help. */
const PATTERNS = matchMedia("(prefers-contrast: more), (forced-colors: active)");

/** Draws into `root`, the section `#chart` of the page. */
export class Chart {
  #svg;
  #readout;
  #layers = {};
  #colours = new Colours();
  #plan = planOf({}, this.#colours);
  #frame = null;
  #key = "";
  #legend;
  #tools;
  #tooltip;
  #marks;
  #cursor;

  /**
   * @param zooms called with Unix seconds (since, until) after a part of the chart was selected.
   * @param changes called with the part of the route that the switches or the legend change.
   */
  constructor(root, { zooms = () => {}, changes = () => {} } = {}) {
    const find = (selector) => root.querySelector(selector);
    this.#svg = find(".plot > svg");
    this.#readout = find(".readout");
    this.#legend = new Legend(find(".legend"), changes, (id) => this.#highlight(id));
    this.#tools = new Tools(find(".chart_tools"), changes);
    this.#tooltip = new Tooltip(find(".tooltip"));
    this.#marks = new Marks(find(".annotations"), this.#tooltip);
    this.#cursor = new Cursor(this.#svg, () => this.#read(), zooms);
    for (const name of ["back", "under", "series", "over", "front"]) this.#layers[name] = svg("g", { class: name });
    this.#svg.append(definitions(), ...Object.values(this.#layers));
    new ResizeObserver(() => this.#draw()).observe(this.#svg);
    PATTERNS.addEventListener("change", () => this.#draw());
  }

  /**
   * Shows a view. All fields but `spans`, `length_s` and `rows` have defaults.
   *
   *   spans, length_s    {start, end, covered_s}, and the usual length of one; `now`: time of the server
   *   rows               {id, label, rank, history, sum, change}; `sums`: per span of all rows, if there are more
   *   compared           counts of an earlier range per span, with `comparedLabel`
   *   limits             {kind, value} of alerts; `annotations`: {kind, start, end, text}
   *   chart, log, pick, hide, selected    as in the route; `unit`; `from`, `to`: the range, if it has bounds;
   *                      `begin`: no interval can be before it
   *   version            any value that changes with spans, rows and their counts; an equal view then draws nothing
   */
  show(view) {
    const key = JSON.stringify({ ...view, rows: null, spans: null, sums: null, now: null }, exactly);
    if (view.version !== undefined && key === this.#key) return;
    this.#key = key;
    this.#plan = planOf(view, this.#colours);
    this.#tools.show(this.#plan);
    this.#draw();
  }

  /** Returns a promise of a PNG of the chart that is shown. */
  png(title) {
    const { series, spans, from, to, now, sum, compared, comparedLabel } = this.#plan;
    const samples = [...this.#svg.closest("section").querySelectorAll(".legend .swatch, .legend .sample")];
    const labels = [
      ...series.map(({ label, isHidden }) => (isHidden ? null : label)),
      ...(sum ? ["Sum"] : []),
      ...(compared ? [comparedLabel] : []),
    ];
    const entries = labels.map((label, n) => ({ label, sample: samples[n] })).filter(({ label }) => label !== null);
    const range = spans.length ? formatSpan(Math.min(from, spans[0].start), to, now) : "";
    return pictureOf(this.#svg, { title: visible(title), range, entries, marks: this.#marks.shown() });
  }

  get #isTextured() {
    return PATTERNS.matches || (this.#frame !== null && !this.#frame.hasLabels && this.#plan.drawn.length > 1);
  }

  #draw() {
    const box = this.#svg.getBoundingClientRect();
    const [width, height] = [box.width, box.height].map((pixels) => pixels / unitPixels());
    const [plan, frame] = [this.#plan, width > 0 ? frameOf(this.#plan, width, height) : null];
    this.#frame = frame;
    this.#legend.show(plan, this.#isTextured);
    if (!frame) return; // hidden, until an observer notices its size
    setAttribute(this.#svg, "viewBox", `0 0 ${width} ${height}`);
    this.#layers.back.replaceChildren(...backgroundShapes(plan, frame), ...axisShapes(plan, frame));
    this.#layers.series.replaceChildren(...seriesShapes(plan, frame, this.#isTextured));
    this.#layers.over.replaceChildren(...lineShapes(plan, frame), ...nameShapes(plan, frame));
    this.#marks.show(plan, frame);
    this.#cursor.show(plan, frame);
    this.#read();
  }

  /** Shows the span under the cursor, or the selection; without a cursor, the last span. */
  #read() {
    const { spans } = this.#plan;
    if (!this.#frame) return;
    const { selection } = this.#cursor;
    const index = this.#cursor.index ?? spans.length - 1;
    this.#layers.under.replaceChildren(...this.#cursorShapes(selection, ""));
    this.#layers.front.replaceChildren(...this.#cursorShapes(selection, "_front"));
    this.#legend.read(index);
    if (this.#cursor.index === null || selection) this.#tooltip.hide();
    else this.#tooltip.showSpan(this.#plan, index, this.#frame);
    const text = selection ? this.#selectionText(selection) : this.#spanText(index);
    setText(this.#readout, text);
    this.#describe(index, selection ? [`selected ${text}`] : [text, ...this.#details(index)]);
  }

  /** Dims all series but one; null shows all alike. */
  #highlight(id) {
    const at = this.#plan.drawn.findIndex((each) => each.id === id);
    [...this.#layers.series.children].forEach((shape, n) => {
      shape.classList.toggle("dim", at >= 0 && n !== at && n < this.#plan.drawn.length);
    });
  }

  #cursorShapes(selection, suffix) {
    const { top, bottom } = this.#frame;
    const [first, last] = selection ?? [this.#cursor.index, this.#cursor.index];
    if (first === null) return [];
    const [left] = edgesOf(this.#plan.spans[first], this.#frame);
    const [, right] = edgesOf(this.#plan.spans[last], this.#frame);
    const place = { x: left - 1, width: right - left + 2, y: top, height: bottom - top };
    return [svg("rect", { class: `${selection ? "selection" : "cursor"}${suffix}`, ...place })];
  }

  #spanText(index) {
    const span = this.#plan.spans[index];
    if (!span) return "no finished interval yet";
    const sum = sumAt(this.#plan, index);
    const note = noteOf(span, this.#plan.length_s, sum);
    return `${formatSpan(span.start, span.end, this.#plan.now)} · ${formatCount(sum)}${note ? ` · ${note}` : ""}`;
  }

  #selectionText([first, last]) {
    const { spans, now } = this.#plan;
    const sum = sumOf(spans.slice(first, last + 1).map((_, n) => sumAt(this.#plan, first + n)));
    return `${formatSpan(spans[first].start, spans[last].end, now)} · ${formatCount(sum)}`;
  }

  #details(index) {
    const { drawn, spans, annotations, now } = this.#plan;
    const found = spans[index] ? annotationsIn(annotations, spans[index]) : [];
    return [
      ...drawn.map(({ label, counts }) => `${label} ${formatCount(counts[index] ?? 0)}`),
      ...found.map((each) => annotationText(each, now)),
    ];
  }

  #describe(index, texts) {
    setAttribute(this.#svg, "aria-valuemax", Math.max(0, this.#plan.spans.length - 1));
    setAttribute(this.#svg, "aria-valuenow", Math.max(0, index));
    setAttribute(this.#svg, "aria-valuetext", texts.join(", "));
  }
}

/** Lets JSON.stringify write BigInt. */
function exactly(_, value) {
  return typeof value === "bigint" ? String(value) : value;
}
