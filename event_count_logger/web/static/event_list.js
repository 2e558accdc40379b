/** The list of the events of a group: filter, table, and the row that is selected. */

import { setText } from "./dom.js";
import { formatCount } from "./format.js";
import { listenToKeys } from "./keyboard.js";
import { formatRoute } from "./route.js";
import { orderIn, sorted } from "./selection.js";
import { Table } from "./table.js";

const find = (selector) => document.querySelector(selector);

/** Shows rows. Filter and order are parts of the route; the selected row is not. */
export class EventList {
  /** The ID of the event of the selected row, or null. */
  selected = null;
  #filter = find("#filter");
  #table;
  #actions;
  #view = null; // the last arguments of show()
  #shown = ""; // what the table shows, as JSON

  /**
   * @param actions `opens(id)`: an event; `changes(part)`: of the route; `selects()`: another row is selected.
   */
  constructor(actions) {
    this.#actions = actions;
    const table = find("#events");
    this.#table = new Table(table, { opens: actions.opens, sorts: (column) => this.#sort(column) });
    this.#filter.addEventListener("input", () => actions.changes({ filter: this.#filter.value }));
    const [walks, clears] = [(rows) => this.#walk(rows), () => this.#clear()];
    listenToKeys({ filter: this.#filter, table, walks, clears });
  }

  /** Writes the filter of the route into its field. */
  set filter(filter) {
    if (this.#filter.value !== filter) this.#filter.value = filter;
  }

  /** Shows the rows that match the filter of the route. */
  show(figures, route, rows, now) {
    this.#view = { figures, route };
    setText(find("#n_events"), numberOf(rows, figures, route.filter));
    find("#no_match").hidden = rows.length > 0 || !figures.isWhole;
    setText(find("#no_match"), figures.rows.length ? "No event matches the filter." : "No events were counted yet.");
    const shown = JSON.stringify([figures.scope.key, figures.revision, route, this.selected]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const sort = orderIn(figures.isRange, route.sort);
    const hrefOf = (event) => formatRoute({ ...route, event });
    this.#table.show(sorted(rows, sort), sort, { figures, selected: this.selected, now, hrefOf });
  }

  /** Moves the focus to the table, and its selected row into sight. */
  focus() {
    find("#events").focus({ preventScroll: true });
    if (this.selected !== null) this.#table.reveal(this.selected);
  }

  clear() {
    this.#view = null;
    this.#shown = "";
  }

  #select(id) {
    this.selected = id;
    this.#actions.selects();
  }

  #walk(rows) {
    this.#select(this.#table.neighbour(rows));
    this.#table.reveal(this.selected);
  }

  #sort(column) {
    if (!column || !this.#view) return;
    const sort = orderIn(this.#view.figures.isRange, this.#view.route.sort);
    const descending = sort.column === column ? !sort.descending : column !== "event"; // largest counts first
    this.#actions.changes({ sort: { column, descending } });
  }

  /** Clears the selection, and the filter if nothing is selected. */
  #clear() {
    if (find("#list").hidden) return;
    if (this.selected !== null) this.#select(null);
    else if (this.#filter.value) this.#actions.changes({ filter: "" });
  }
}

function numberOf(rows, { rows: all, isWhole, n_events, filter }, wanted) {
  const total = Math.max(all.length, n_events);
  const n = `${formatCount(total)} ${total === 1 ? "event" : "events"}`;
  if (!isWhole) return wanted && wanted === filter ? `${n} match` : `${n}, loading …`;
  const cut = all.length < n_events ? `; the first ${formatCount(all.length)} are here` : "";
  return (wanted ? `${formatCount(rows.length)} of ${n}` : n) + cut;
}
