/** A chart of stacked bars, one for each finished interval. The width of a bar is the true length of its interval. */

import { sumOf } from "./counts.js";
import { element, setAttribute, setText, svg } from "./dom.js";
import { formatCount, formatDate, formatSpan, formatTime } from "./format.js";
import { countTicks, timeTicks } from "./scales.js";

const MARGIN = { top: 10, right: 4, bottom: 24, left: 52 };
/** Pixels per mark of each axis. */
const TICK = { x: 90, y: 44 };
/** Fewest intervals that the width is divided into, so that a short history has bars and not blocks. */
const FEWEST = 24;
/** A limit that is more than this many times as high as the highest bar is not drawn: bars would vanish. */
const FURTHEST_LIMIT = 3;
const DAY_S = 86_400;

/** Draws into `root`, which has an svg, a `.readout` and a `.legend`. Arrow keys and the pointer move the cursor. */
export class Chart {
  #svg;
  #readout;
  #legend;
  #view = { spans: [], series: [], length_s: 1, now: 0, limits: [] };
  #cursor = null;
  #x = null;

  constructor(root) {
    this.#svg = root.querySelector("svg");
    this.#readout = root.querySelector(".readout");
    this.#legend = root.querySelector(".legend");
    new ResizeObserver(() => this.#draw()).observe(this.#svg);
    this.#svg.addEventListener("pointermove", (event) => this.#point(event));
    this.#svg.addEventListener("pointerleave", () => this.#moveTo(null));
    this.#svg.addEventListener("blur", () => this.#moveTo(null));
    this.#svg.addEventListener("keydown", (event) => this.#key(event));
  }

  /**
   * Draws series of counts over spans of time.
   *
   * @param view `spans`: {start, end}; `series`: {label, colour, counts}; `length_s`: of the interval; `now`;
   *   `limits`: {kind, value} of alerts.
   */
  show(view) {
    this.#view = view;
    if (this.#cursor >= view.spans.length) this.#cursor = null;
    this.#legend.replaceChildren(...view.series.map(legendItem));
    this.#draw();
  }

  #draw() {
    const { width, height } = this.#svg.getBoundingClientRect();
    const { spans } = this.#view;
    setAttribute(this.#svg, "viewBox", `0 0 ${width} ${height}`);
    this.#svg.replaceChildren();
    if (spans.length && width > 0) this.#svg.append(...this.#axesAndBars(width, height));
    this.#read();
  }

  #axesAndBars(width, height) {
    const { spans, series, length_s } = this.#view;
    const stacks = stackedHeights(spans, series, length_s);
    const highest = Math.max(1, ...stacks.at(-1));
    const limits = this.#view.limits.filter(({ value }) => value <= FURTHEST_LIMIT * highest);
    const ticks = countTicks(Math.max(highest, ...limits.map(({ value }) => value)), Math.floor(height / TICK.y));
    const to = spans.at(-1).end;
    const from = Math.min(spans[0].start, to - FEWEST * length_s);
    const x = scale(from, to, MARGIN.left, width - MARGIN.right);
    const y = scale(0, ticks.at(-1), height - MARGIN.bottom, MARGIN.top);
    this.#x = x;
    return [
      ...ticks.flatMap((tick) => gridLine(tick, y(tick), width)),
      ...timeTicks(from, to, width / TICK.x).map((tick) => timeMark(tick, x(tick), width, height, to - from)),
      this.#cursorShape(x, height),
      ...series.map(({ colour }, n) => bars(spans, stacks[n], stacks[n + 1], x, y, colour)),
      baseLine(spans, x, y(0)),
      ...limits.flatMap((limit) => limitLine(limit, y(limit.value), width)),
    ];
  }

  #cursorShape(x, height) {
    const shape = svg("rect", { class: "cursor", y: MARGIN.top, height: height - MARGIN.top - MARGIN.bottom });
    const span = this.#view.spans[this.#cursor];
    if (span) {
      setAttribute(shape, "x", x(span.start));
      setAttribute(shape, "width", x(span.end) - x(span.start));
    }
    return shape;
  }

  #point({ clientX }) {
    if (!this.#view.spans.length) return;
    const at = clientX - this.#svg.getBoundingClientRect().left;
    const found = this.#view.spans.findIndex((span) => at < this.#x(span.end));
    this.#moveTo(found < 0 ? this.#view.spans.length - 1 : found);
  }

  #key(event) {
    const last = this.#view.spans.length - 1;
    const at = this.#cursor ?? last;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.#moveTo(Math.min(last, Math.max(0, to)));
  }

  #moveTo(index) {
    if (index === this.#cursor) return;
    this.#cursor = index;
    const shape = this.#svg.querySelector(".cursor");
    const moved = shape && this.#cursorShape(this.#x, this.#svg.getBoundingClientRect().height);
    shape?.replaceWith(moved);
    this.#read();
  }

  /** Writes the interval under the cursor into the readout and the legend; without a cursor, the last interval. */
  #read() {
    const { spans, series, now } = this.#view;
    const index = this.#cursor ?? spans.length - 1;
    const span = spans[index];
    const counts = series.map((each) => each.counts[index] ?? null);
    const sum = formatCount(span ? sumOf(counts) : null);
    const text = span ? `${formatSpan(span.start, span.end, now)} · ${sum}` : "no finished interval yet";
    setText(this.#readout, text);
    counts.forEach((count, n) => setText(this.#legend.children[n].lastChild, formatCount(count)));
    this.#describe(index, [text, ...series.map(({ label }, n) => `${label} ${formatCount(counts[n])}`)]);
  }

  #describe(index, texts) {
    setAttribute(this.#svg, "aria-valuemax", Math.max(0, this.#view.spans.length - 1));
    setAttribute(this.#svg, "aria-valuenow", Math.max(0, index));
    setAttribute(this.#svg, "aria-valuetext", texts.join(", "));
  }
}

/**
 * Returns the heights of the borders between the series, from the base line up, for each span.
 *
 * A height is a count per interval. A span that was rotated late is longer than the interval; its height is the
 * average per interval.
 */
export function stackedHeights(spans, series, length_s) {
  const borders = [spans.map(() => 0)];
  for (const { counts } of series) {
    const below = borders.at(-1);
    const share = (span) => length_s / Math.max(length_s, span.end - span.start);
    borders.push(spans.map((span, n) => below[n] + Number(counts[n]) * share(span)));
  }
  return borders;
}

function scale(from, to, low, high) {
  const factor = (high - low) / (to - from || 1);
  return (value) => low + (value - from) * factor;
}

function bars(spans, lower, upper, x, y, colour) {
  let path = "";
  spans.forEach((span, n) => {
    if (upper[n] <= lower[n]) return;
    const [left, right] = edges(span, x);
    path += `M${left} ${y(lower[n])}V${y(upper[n])}H${right}V${y(lower[n])}Z`;
  });
  return svg("path", { class: `bars colour-${colour}`, d: path });
}

/** Returns the line below the bars. It covers each finished interval, so that a gap shows a missing one. */
function baseLine(spans, x, y) {
  const path = spans.map((span) => edges(span, x)).map(([left, right]) => `M${left} ${y}H${right}`);
  return svg("path", { class: "base", d: path.join("") });
}

function edges(span, x) {
  const [left, right] = [x(span.start), x(span.end)];
  const gap = Math.min(2, (right - left) / 5);
  return [left + gap / 2, right - gap / 2];
}

function gridLine(tick, y, width) {
  const line = svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y });
  return [line, svg("text", { class: "tick", x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, short(tick))];
}

function limitLine({ kind, value }, y, width) {
  const line = svg("line", { class: "limit", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y });
  const label = `alert ${kind} ${short(value)}`;
  return [line, svg("text", { class: "limit", x: MARGIN.left + 4, y: y - 5 }, label)];
}

function timeMark(tick, x, width, height, span_s) {
  const text = span_s > 3 * DAY_S ? formatDate(tick) : formatTime(tick, span_s < 300);
  const anchor = x > width - TICK.x / 3 ? "end" : "middle";
  return svg("text", { class: "tick", x, y: height - 6, "text-anchor": anchor }, text);
}

const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function short(count) {
  return count < 10_000 ? formatCount(count) : SHORT.format(count);
}

function legendItem({ label, colour }) {
  const swatch = element("span", { class: `swatch colour-${colour}` });
  return element("li", {}, swatch, element("span", { class: "name", title: label }, label), element("b"));
}
