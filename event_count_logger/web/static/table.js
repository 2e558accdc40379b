/** The table of events. Only visible rows are in the page, so the number of events is not limited. */

import { element, setAttribute, setText } from "./dom.js";
import { formatCount, formatLength, formatRate } from "./format.js";
import { drawSparkline, newSparkline } from "./sparkline.js";

/** Rows drawn above and below the visible ones, for a scroll before the next drawing. */
const SPARE = 6;
/** Characters that fit into every column. */
const LONG = 9;
const COLUMNS = ["last", "current", "rate", "total"];

/** Draws rows into a table. Its column headers are buttons whose value is the name of the column. */
export class Table {
  #table;
  #body;
  #rows = [];
  #nodes = [];
  #selected = null;
  #hasSessions = false;

  /** `selects(id)` is called when a row is clicked, `sorts(column)` when a column header is. */
  constructor(table, { selects, sorts }) {
    this.#table = table;
    this.#body = table.tBodies[0];
    const redraw = () => requestAnimationFrame(() => this.#draw());
    addEventListener("scroll", redraw, { passive: true });
    new ResizeObserver(redraw).observe(document.body);
    this.#body.addEventListener("click", ({ target }) => selects(target.closest("tr").dataset.event));
    table.tHead.addEventListener("click", ({ target }) => sorts(target.closest("button")?.value));
  }

  /**
   * Shows these rows in this order; `selected` is the ID of an event, or null. With `hasSessions` the rates are mean
   * lengths.
   */
  show(rows, sort, selected, hasSessions) {
    this.#rows = rows;
    this.#hasSessions = hasSessions;
    setText(this.#table.tHead.querySelector("[value=rate]"), hasSessions ? "Length" : "Rate");
    this.#selected = selected;
    setAttribute(this.#table, "aria-rowcount", rows.length + 1);
    for (const head of this.#table.tHead.rows[0].cells) {
      const isSorted = head.firstElementChild?.value === sort.column;
      setAttribute(head, "aria-sort", isSorted ? (sort.descending ? "descending" : "ascending") : null);
    }
    this.#draw();
  }

  /** Returns the event `steps` rows from the selected one, or the first or last one; without a selection the first. */
  neighbour(steps) {
    const at = this.#rows.findIndex((row) => row.id === this.#selected);
    const index = at < 0 ? 0 : Math.min(this.#rows.length - 1, Math.max(0, at + steps));
    return this.#rows[index]?.id ?? null;
  }

  /** Scrolls until the row of this event is visible. */
  reveal(id) {
    const index = this.#rows.findIndex((row) => row.id === id);
    if (index < 0) return;
    const top = this.#top() + index * this.#rowHeight();
    const head = this.#table.tHead.offsetHeight;
    const bottom = top + this.#rowHeight();
    if (top < scrollY + head) scrollTo({ top: top - head });
    else if (bottom > scrollY + innerHeight) scrollTo({ top: bottom - innerHeight });
    this.#draw();
  }

  #draw() {
    const height = this.#rowHeight();
    const n_drawn = Math.min(this.#rows.length, Math.ceil(innerHeight / height) + 2 * SPARE);
    const seen = Math.floor((scrollY - this.#top()) / height) - SPARE;
    const first = Math.max(0, Math.min(this.#rows.length - n_drawn, seen));
    this.#keep(n_drawn);
    this.#nodes.forEach((node, index) => this.#fill(node, this.#rows[first + index], first + index));
    this.#body.style.paddingTop = `${first * height}px`;
    this.#body.style.paddingBottom = `${(this.#rows.length - first - n_drawn) * height}px`;
    setAttribute(this.#table, "aria-activedescendant", this.#body.querySelector(".selected")?.id ?? null);
  }

  #keep(n_nodes) {
    while (this.#nodes.length > n_nodes) this.#nodes.pop().remove();
    while (this.#nodes.length < n_nodes) {
      this.#nodes.push(newRow());
      this.#body.append(this.#nodes.at(-1));
    }
  }

  #fill(node, row, index) {
    const isSelected = row.id === this.#selected;
    const [name, last, current, rate, total, history] = node.children;
    node.dataset.event = row.id;
    setAttribute(node, "id", `row-${index}`);
    setAttribute(node, "aria-rowindex", index + 2);
    setAttribute(node, "aria-selected", isSelected);
    node.classList.toggle("selected", isSelected);
    setText(name, row.label);
    setAttribute(name, "title", row.id);
    fillCell(last, formatCount(row.last));
    fillCell(current, formatCount(row.current));
    fillCell(rate, this.#hasSessions ? formatLength(row.rate) : formatRate(row.rate));
    fillCell(total, formatCount(row.total));
    drawSparkline(history.firstChild, row);
  }

  #top() {
    return this.#body.getBoundingClientRect().top + scrollY;
  }

  /** Returns the row height from the style sheet, which depends on the width of the window. */
  #rowHeight() {
    return parseFloat(getComputedStyle(this.#table).getPropertyValue("--row-height"));
  }
}

function fillCell(cell, text) {
  setText(cell, text);
  setAttribute(cell, "title", text.length > LONG ? text : null); // a long text may be cut off
  cell.classList.toggle("zero", text === "0");
  cell.classList.toggle("nothing", text === "–");
}

/** Creates a row. It has explicit roles, because some browsers drop those of a row with `display: grid`. */
function newRow() {
  const figures = COLUMNS.map((column) => element("td", { class: `figure ${column}`, role: "gridcell" }));
  const history = element("td", { class: "history", role: "gridcell" }, newSparkline());
  return element("tr", { role: "row" }, element("th", { scope: "row", role: "rowheader" }), ...figures, history);
}
