/** The table of events. Only visible rows are in the page, so the number of events is not limited. */

import { wordsFor } from "./comparison.js";
import { element, remPixels, setAttribute, setText } from "./dom.js";
import { formatChange, formatCount, formatLength, formatRate } from "./format.js";
import { drawSparkline, newSparkline, timelineOf } from "./sparkline.js";

/** Rows drawn above and below the visible ones, for a scroll before the next drawing. */
const SPARE = 6;
/** Characters that fit into every column. */
const LONG = 9;
const COLUMNS = ["last", "sum", "current", "rate", "change", "total"];

/** Draws rows into a table. Its column headers are buttons whose value is the name of the column. */
export class Table {
  #table;
  #body;
  #rows = [];
  #nodes = [];
  #view = { figures: null, selected: null, now: 0, hrefOf: () => "" };
  #timeline = null;
  #words = null;
  #columns = COLUMNS;
  #height = 0; // of a row; 0: not known
  #first = 0; // index of the row in the first node

  /** `opens(id)` is called when a row is clicked, or on Enter; `sorts(column)` when a column header is clicked. */
  constructor(table, { opens, sorts }) {
    this.#table = table;
    this.#body = table.tBodies[0];
    const redraw = () => requestAnimationFrame(() => this.#draw());
    addEventListener("scroll", () => requestAnimationFrame(() => this.#draw(true)), { passive: true });
    addEventListener("resize", () => (this.#height = 0));
    new ResizeObserver(redraw).observe(document.body);
    this.#body.addEventListener("click", (event) => this.#click(event, opens));
    table.tHead.addEventListener("click", ({ target }) => sorts(target.closest("button")?.value));
    table.addEventListener("keydown", ({ key, target }) => {
      if (key === "Enter" && target === table && this.#view.selected !== null) opens(this.#view.selected);
    });
  }

  /**
   * Shows these rows in this order.
   *
   * @param view `figures`; `selected`: the ID of an event, or null; `now`; `hrefOf(id)`: the address of an event.
   */
  show(rows, sort, view) {
    this.#rows = rows;
    this.#view = view;
    const { spans, scope, loaded, hasSessions } = view.figures;
    this.#words = wordsFor(view.figures, view.now);
    this.#timeline = timelineOf(spans, loaded.step_s ?? scope.length_s);
    this.#showColumns(columnsOf(view.figures));
    setText(this.#table.tHead.querySelector("[value=rate]"), hasSessions ? "Length" : "Rate");
    setAttribute(this.#table, "aria-rowcount", rows.length + 1);
    for (const head of this.#table.tHead.rows[0].cells) {
      const isSorted = head.firstElementChild?.value === sort.column;
      setAttribute(head, "aria-sort", isSorted ? (sort.descending ? "descending" : "ascending") : null);
    }
    this.#draw();
  }

  /** Returns the event `steps` rows from the selected one, or the first or last one; without a selection the first. */
  neighbour(steps) {
    const at = this.#rows.findIndex((row) => row.id === this.#view.selected);
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

  #click(event, opens) {
    const { altKey, ctrlKey, metaKey, shiftKey, target } = event;
    if (altKey || ctrlKey || metaKey || shiftKey || !getSelection().isCollapsed) return; // another tab, or text
    event.preventDefault();
    opens(target.closest("tr").dataset.event);
  }

  #showColumns(columns) {
    if (columns.join() === this.#columns.join() && this.#table.dataset.columns) return;
    this.#columns = columns;
    this.#table.dataset.columns = columns.length;
    this.#table.style.setProperty("--columns", columns.length);
    for (const column of COLUMNS) this.#head(column).hidden = !columns.includes(column);
    this.#keep(0);
  }

  #head(column) {
    return this.#table.tHead.querySelector(`[value=${column}]`).parentElement;
  }

  /** Draws the rows in sight. After a scroll, rows that stay in sight are not drawn again. */
  #draw(isScroll = false) {
    if (!this.#view.figures || !this.#table.checkVisibility()) return;
    const height = this.#rowHeight();
    const n_drawn = Math.min(this.#rows.length, Math.ceil(innerHeight / height) + 2 * SPARE);
    const seen = Math.floor((scrollY - this.#top()) / height) - SPARE;
    const first = Math.max(0, Math.min(this.#rows.length - n_drawn, seen));
    const isSame = isScroll && this.#nodes.length === n_drawn;
    if (isSame && first === this.#first) return;
    this.#keep(n_drawn);
    const stale = new Set(isSame ? this.#turn(first - this.#first) : this.#nodes);
    this.#first = first;
    this.#nodes.forEach((node, index) => stale.has(node) && this.#fill(node, this.#rows[first + index], first + index));
    this.#body.style.paddingTop = `${first * height}px`;
    this.#body.style.paddingBottom = `${(this.#rows.length - first - n_drawn) * height}px`;
    setAttribute(this.#table, "aria-activedescendant", this.#body.querySelector(".selected")?.id ?? null);
  }

  /** Moves the nodes that a scroll by some rows puts out of sight to the other end, and returns them. */
  #turn(steps) {
    if (Math.abs(steps) >= this.#nodes.length) return this.#nodes;
    const turned = steps > 0 ? this.#nodes.splice(0, steps) : this.#nodes.splice(steps);
    if (steps > 0) {
      this.#nodes.push(...turned);
      this.#body.append(...turned);
    } else {
      this.#nodes.unshift(...turned);
      this.#body.prepend(...turned);
    }
    return turned;
  }

  #keep(n_nodes) {
    while (this.#nodes.length > n_nodes) this.#nodes.pop().remove();
    while (this.#nodes.length < n_nodes) {
      this.#nodes.push(newRow(this.#columns));
      this.#body.append(this.#nodes.at(-1));
    }
  }

  #fill(node, row, index) {
    const isSelected = row.id === this.#view.selected;
    const [name, ...cells] = node.children;
    node.dataset.event = row.id;
    setAttribute(node, "id", `row-${index}`);
    setAttribute(node, "aria-rowindex", index + 2);
    setAttribute(node, "aria-selected", isSelected);
    node.classList.toggle("selected", isSelected);
    setText(name.firstChild, row.label);
    setAttribute(name.firstChild, "href", this.#view.hrefOf(row.id));
    setAttribute(name, "title", row.id);
    this.#columns.forEach((column, n) => this.#fillCell(cells[n], column, row));
    drawSparkline(cells.at(-1).firstChild, row, this.#timeline);
  }

  #fillCell(cell, column, row) {
    const text = this.#text(column, row);
    setText(cell, text);
    setAttribute(cell, "title", this.#title(column, row, text));
    cell.classList.toggle("zero", text === "0");
    cell.classList.toggle("nothing", text === "–");
  }

  #text(column, row) {
    if (column === "rate") return this.#view.figures.hasSessions ? formatLength(row.rate) : formatRate(row.rate);
    return column === "change" ? formatChange(row.change) : formatCount(row[column]);
  }

  #title(column, row, text) {
    if (column !== "change") return text.length > LONG ? text : null; // a long text may be cut off
    return this.#words(this.#view.figures.isRange ? row.sum : row.last, row.before);
  }

  #top() {
    return this.#body.getBoundingClientRect().top + scrollY;
  }

  /** Returns the row height from the style sheet, which depends on the width of the window. */
  #rowHeight() {
    this.#height ||= parseFloat(getComputedStyle(this.#table).getPropertyValue("--row-height")) * remPixels();
    return this.#height;
  }
}

function columnsOf({ isRange, compare }) {
  const left = isRange ? ["last", "current"] : ["sum"];
  if (compare === null) left.push("change");
  return COLUMNS.filter((column) => !left.includes(column));
}

/** Creates a row. It has explicit roles, because some browsers drop those of a row with `display: grid`. */
function newRow(columns) {
  const figures = columns.map((column) => element("td", { class: `figure ${column}`, role: "gridcell" }));
  const history = element("td", { class: "history", role: "gridcell" }, newSparkline());
  const name = element("th", { scope: "row", role: "rowheader" }, element("a", { tabindex: -1 }));
  return element("tr", { role: "row" }, name, ...figures, history);
}
