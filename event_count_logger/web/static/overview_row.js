/** One group in the overview, as a row of a wide window or a card of a narrow one. */

import { element, setAttribute, setText, svg } from "./dom.js";
import { visible } from "./format.js";
import { aboutOf, changeOf, currentOf, lastOf, problemsOf } from "./overview_words.js";
import { formatRoute } from "./route.js";
import { drawTrend, newSparkline } from "./sparkline.js";

const PIN = "M5 1.5h6l-1 4.5 2.5 2.5h-9L6 6z M8 8.5V14.5";

/** The elements of one group. Equal values change nothing. */
export class GroupRow {
  node;
  #link = element("a", { class: "open" });
  #about = element("span", { class: "about" });
  #problems = element("ul", { class: "problems" });
  #pin;
  #trend = newSparkline();
  #last = newFigure("last", "Last interval: ");
  #change = newFigure("change", "Change: ");
  #current = newFigure("current", "Current interval: ");
  #bar = element("span");
  #row = null;
  #shownProblems = "";

  /** `pins(name)` is called when the pin is clicked. */
  constructor(name, pins) {
    this.#pin = element("button", { type: "button", class: "pin", tabindex: -1 }, pinMark());
    this.#pin.addEventListener("click", () => pins(name));
    const heading = element("p", { class: "name" }, this.#link, this.#about, this.#pin);
    const what = element("div", { class: "what" }, heading, this.#problems);
    this.#current.node.append(element("span", { class: "elapsed", "aria-hidden": "true" }, this.#bar));
    const figures = [this.#last, this.#change, this.#current].map(({ node }) => node);
    this.node = element("li", { class: "row", "data-group": name }, what, element("div", { class: "trend" }, this.#trend), ...figures);
    this.#link.href = formatRoute({ group: name });
  }

  /** Shows a row of the server as of `now`, Unix seconds of the server. */
  show(row, now, isPinned) {
    if (row !== this.#row) this.#showNames(row);
    this.#showPin(row, isPinned);
    this.#showProblems(problemsOf(row, now));
    fill(this.#last, lastOf(row, now));
    fill(this.#current, currentOf(row, now));
    this.#bar.style.width = `${(100 * currentOf(row, now).progress).toFixed(1)}%`;
    this.#showChange(changeOf(row, now));
    if (row === this.#row) return;
    if (row.trend !== this.#row?.trend) drawTrend(this.#trend, drawable(row.trend));
    this.#row = row;
  }

  /** Moves the focus to the link of this group. */
  focus(options) {
    this.#link.focus(options);
  }

  #showNames(row) {
    setText(this.#link, visible(row.title ?? row.name));
    setAttribute(this.#link, "title", row.title && row.title !== row.name ? row.name : null);
    setText(this.#about, aboutOf(row));
  }

  #showPin(row, isPinned) {
    setAttribute(this.#pin, "aria-pressed", isPinned);
    setAttribute(this.#pin, "aria-label", `Pin ${visible(row.title ?? row.name)}`);
    setAttribute(this.#pin, "title", isPinned ? "Unpin (p)" : "Pin (p)");
  }

  #showProblems(problems) {
    const shown = JSON.stringify(problems);
    if (shown === this.#shownProblems) return;
    this.#shownProblems = shown;
    this.#problems.replaceChildren(...problems.map(problemItem));
    this.#problems.hidden = problems.length === 0;
    this.node.classList.toggle("critical", problems[0]?.kind === "critical");
    this.node.classList.toggle("warning", problems[0]?.kind === "warning");
  }

  #showChange(change) {
    this.#change.node.classList.toggle("big", change?.isBig ?? false);
    const count = change ? `${change.mark} ${change.text}` : "–";
    fill(this.#change, { count, detail: change?.detail ?? "nothing to compare with" });
  }
}

/** Returns a trend to draw. Its counts may be above 2^53. */
function drawable(trend) {
  const numbers = (counts) => counts.map((count) => (count === null ? null : Number(count)));
  return trend ? { ...trend, counts: numbers(trend.counts), usual: trend.usual && numbers(trend.usual) } : { counts: [] };
}

function problemItem({ kind, mark, label, name, details }) {
  const item = element("li", { class: kind });
  const tag = element("b", {}, element("span", { "aria-hidden": "true" }, `${mark} `), label);
  item.append(tag, ...(name ? [" ", element("strong", {}, name)] : []));
  for (const detail of details) item.append(" ", element("span", {}, detail));
  return item;
}

function newFigure(name, label) {
  const [count, detail] = [element("b"), element("small")];
  const hidden = element("span", { class: "visually-hidden" }, label);
  return { node: element("div", { class: `figure ${name}` }, hidden, count, " ", detail), count, detail };
}

function fill({ node, count, detail }, words) {
  setText(count, words.count);
  setText(detail, words.detail);
  node.classList.toggle("nothing", words.count === "–");
}

function pinMark() {
  return svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: PIN }));
}
