/** The part of the page about one group: heading, sums, chart, and the table with its filter. */

import { limitsOf } from "./alerts.js";
import { Chart } from "./chart.js";
import { element, setText } from "./dom.js";
import { formatCount } from "./format.js";
import { listenToKeys } from "./keyboard.js";
import { formatRoute } from "./route.js";
import { filtered, sorted } from "./selection.js";
import { oneOf, seriesOf } from "./series.js";
import { Table } from "./table.js";
import { showTiles } from "./tiles.js";

const find = (selector) => document.querySelector(selector);

/** Shows the counts of a group. Filter and order become part of the route; the selected event does not. */
export class GroupView {
  #changes;
  #filter = find("#filter");
  #chart = new Chart(find("#chart"));
  #table;
  #selected = null; // the ID of an event
  #shown = null; // the last arguments of show()
  #charted = ""; // what the chart shows: version, filter and selection, as JSON

  /** `changes({filter})` and `changes({sort})` are called with the new part of the route. */
  constructor(changes) {
    this.#changes = changes;
    const table = find("#events");
    this.#table = new Table(table, {
      selects: (id) => this.#select(id === this.#selected ? null : id),
      sorts: (column) => this.#sort(column),
    });
    this.#filter.addEventListener("input", () => changes({ filter: this.#filter.value }));
    const [walks, clears] = [(steps) => this.#walk(steps), () => this.#clear()];
    listenToKeys({ filter: this.#filter, table, walks, clears });
  }

  /** Shows names of group and interval, before there are counts. */
  name(group, interval, route) {
    document.title = `${group.title ?? group.name} · ${interval.name}`;
    setText(find("#title"), group.title ?? group.name);
    setText(find("#unit"), `${group.unit} per ${interval.name}`);
    if (this.#filter.value !== route.filter) this.#filter.value = route.filter;
    const links = group.intervals.map(({ name }) => intervalLink(name, name === interval.name, group, route));
    const changed = links.some((link, n) => !link.isEqualNode(find("#intervals").children[n]));
    if (changed || links.length !== find("#intervals").children.length) find("#intervals").replaceChildren(...links);
  }

  /** Clears the state of the previous group or interval. */
  clear() {
    this.#selected = null;
    this.#shown = null;
    this.#charted = "";
    find("#figures").hidden = true;
  }

  /** Shows counts as of `now`, Unix seconds of the server, and the limits of alerts. */
  show(figures, route, now, alerts) {
    this.#shown = { figures, route, now, alerts };
    find("#figures").hidden = false;
    const rows = filtered(figures.rows, route.filter);
    showTiles(find("#tiles"), figures, now);
    this.#showChart(rows);
    setText(find("#n_events"), numberOf(rows, figures.rows));
    find("#no_match").hidden = rows.length > 0;
    setText(find("#no_match"), figures.rows.length ? "No event matches the filter." : "No events were counted yet.");
    this.#table.show(sorted(rows, route.sort), route.sort, this.#selected, figures.hasSessions);
  }

  #showChart(rows) {
    const { figures, route, now, alerts } = this.#shown;
    const { group, interval } = figures.answer;
    const limits = limitsOf(alerts, { group, interval, selected: this.#selected, filter: route.filter });
    const charted = JSON.stringify([figures.version, route.filter, this.#selected, limits]);
    if (charted === this.#charted) return;
    this.#charted = charted;
    const { spans, answer } = figures;
    find("#chart").hidden = spans.length === 0;
    const selected = figures.rows.find(({ id }) => id === this.#selected);
    const series = selected ? [oneOf(selected, 0)] : seriesOf(rows, spans.length);
    this.#chart.show({ spans, series, length_s: answer.length_s, now, limits });
  }

  #select(id) {
    if (!this.#shown) return;
    this.#selected = id;
    const { figures, route, now, alerts } = this.#shown;
    this.show(figures, route, now, alerts);
  }

  #walk(steps) {
    this.#select(this.#table.neighbour(steps));
    this.#table.reveal(this.#selected);
  }

  #sort(column) {
    const { sort } = this.#shown.route;
    const descending = sort.column === column ? !sort.descending : column !== "event"; // largest counts first
    this.#changes({ sort: { column, descending } });
  }

  #clear() {
    if (this.#selected !== null) this.#select(null);
    else this.#changes({ filter: "" });
  }
}

function intervalLink(name, isCurrent, group, route) {
  const href = formatRoute({ ...route, group: group.name, interval: name });
  return element("a", { href, "aria-current": isCurrent ? "true" : null }, name);
}

function numberOf(rows, all) {
  const n = `${formatCount(all.length)} ${all.length === 1 ? "event" : "events"}`;
  return rows.length === all.length ? n : `${formatCount(rows.length)} of ${n}`;
}
