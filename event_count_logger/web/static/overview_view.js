/** The overview: all groups in sections, problems first, and the events that a search has found. */

import { element, setText } from "./dom.js";
import { formatTime } from "./format.js";
import { OrderHold } from "./order_hold.js";
import { GroupRow } from "./overview_row.js";
import { found, rowsOf, sectionsOf } from "./overview_state.js";
import { headlineOf } from "./overview_words.js";

/** Rows of the first frame: more than a screen has. The others follow at once, but not before that is painted. */
const FIRST_ROWS = 40;

const find = (selector) => document.querySelector(selector);

/** Shows the state of all groups. Rows keep their elements, and so their focus, when they change or move. */
export class OverviewView {
  #root = find("#overview");
  #sections = find("#sections");
  #pins;
  #rows = new Map(); // GroupRow by the name of its group
  #parts = new Map(); // {node, title, count, list} by the ID of a section
  #order = new OrderHold(this.#sections);
  #shown = null; // the last arguments of show()
  #room = FIRST_ROWS;

  /** `pins` are the pinned groups. */
  constructor(pins) {
    this.#pins = pins;
    pins.listen(() => this.#sort());
    find("#held").addEventListener("click", () => this.#sort());
  }

  /** Shows the state as of `now`, Unix seconds of the server. `words` is the search, `events` its EventSearch. */
  show(state, now, words) {
    if (this.#shown?.words !== words) this.#order.release();
    this.#shown = { state, now, words };
    const all = rowsOf(state);
    const rows = words ? found(all, words) : all;
    const sections = this.#order.arrange(words ? searched(rows) : sectionsOf(rows, (name) => this.#pins.has(name)));
    this.#showHeadline(all, now);
    for (const name of this.#place(sections)) {
      this.#rows.get(name).show(state.rows.get(name), now, this.#pins.has(name));
    }
    find("#held").hidden = !this.#order.isHeld;
    this.#showNothing(all, rows, words);
    this.#forget(state);
    if (this.#room < rows.length) requestAnimationFrame(() => setTimeout(() => this.#showRest()));
  }

  /** Pins or unpins a group, and shows it at its new place. */
  pin(name) {
    this.#pins.toggle(name);
    this.#sort();
  }

  /** Moves the focus to the row of a group, if it is shown. */
  focus(name) {
    this.#rows.get(name)?.focus({ preventScroll: true });
  }

  #showRest() {
    this.#room = Infinity;
    const { state, now, words } = this.#shown;
    this.show(state, now, words);
  }

  /** Shows the rows in their newest order, also while the user points at them. */
  #sort() {
    this.#order.release();
    if (this.#shown) this.show(this.#shown.state, this.#shown.now, this.#shown.words);
  }

  #showHeadline(rows, now) {
    const { title, detail } = headlineOf(rows);
    setText(find("#headline"), title);
    setText(find("#summary"), detail);
    setText(find("#clock"), formatTime(now, true));
    this.#root.classList.toggle("calm", detail === "");
  }

  #showNothing(all, rows, words) {
    const nothing = find("#no_group");
    nothing.hidden = rows.length > 0;
    setText(nothing, all.length === 0 ? "There are no groups to show." : words ? "No group matches the search." : "");
  }

  /** Places as many rows as there is room for, and returns their names. */
  #place(sections) {
    const focused = document.activeElement;
    const placed = [];
    const nodes = sections.map(({ id, title, names }) => {
      const shown = names.slice(0, this.#room - placed.length);
      placed.push(...shown);
      return this.#fillSection(id, title, names.length, shown);
    });
    placeInOrder(this.#sections, nodes);
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    return placed;
  }

  #fillSection(id, title, count, names) {
    if (!this.#parts.has(id)) this.#parts.set(id, newSection(id));
    const part = this.#parts.get(id);
    setText(part.title, title);
    setText(part.count, String(count));
    placeInOrder(part.list, names.map((name) => this.#rowOf(name).node));
    return part.node;
  }

  #rowOf(name) {
    if (!this.#rows.has(name)) this.#rows.set(name, new GroupRow(name, () => this.pin(name)));
    return this.#rows.get(name);
  }

  #forget(state) {
    for (const name of this.#rows.keys()) if (!state.rows.has(name)) this.#rows.delete(name);
  }
}

function searched(rows) {
  return rows.length ? [{ id: "found", title: "Groups", names: rows.map(({ name }) => name) }] : [];
}

function newSection(id) {
  const [title, count] = [element("span"), element("span", { class: "count" })];
  const heading = element("h2", { id: `section-${id}` }, title, " ", count);
  const list = element("ul", { class: "rows" });
  const attributes = { class: `section section-${id}`, "aria-labelledby": `section-${id}` };
  return { node: element("section", attributes, heading, list), title, count, list };
}

/** Makes these nodes the children, and moves only those that are not at their place. */
function placeInOrder(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
}
