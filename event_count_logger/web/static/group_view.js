/** The part of the page about one group: heading, controls, sums, chart, list of events, and the view of one event. */

import { ChartPart } from "./chart_part.js";
import { setAttribute, setText } from "./dom.js";
import { EventList } from "./event_list.js";
import { EventView } from "./event_view.js";
import { Exports } from "./exports.js";
import { formatCount, visible } from "./format.js";
import { showHeading } from "./heading.js";
import { closeMenus } from "./menus.js";
import { gapsOf, queryOf } from "./range.js";
import { RangeControls, showExtent } from "./range_controls.js";
import { filtered } from "./selection.js";
import { highestOf, sumsOf, sumsOfRow } from "./sums.js";
import { tabName } from "./tab_title.js";
import { showTiles } from "./tiles.js";

const find = (selector) => document.querySelector(selector);

/** Shows the counts of a group. All that is shown is part of the route, except for the selected row. */
export class GroupView {
  #changes;
  #controls;
  #chart;
  #list;
  #event;
  #exports;
  #names = null; // {group, interval, route}
  #shown = null; // the last arguments of show()

  /**
   * `changes(part, isStep)` is called with the new part of the route; `isStep`: the back button undoes it.
   *
   * @param api client of the HTTP API.
   */
  constructor(api, changes) {
    this.#changes = changes;
    const [steps, redraws] = [(part) => changes(part, true), () => this.#redraw()];
    const replaces = (part) => changes(part, false);
    const zooms = (since, until) => steps({ range: null, since, until });
    this.#controls = new RangeControls(find(".controls"), steps);
    this.#chart = new ChartPart(api, find("#chart"), { zooms, changes: replaces, redraws });
    this.#list = new EventList({ opens: (id) => this.#open(id), changes: replaces, selects: redraws });
    this.#event = new EventView(api, find("#history"), redraws);
    this.#exports = new Exports(api, find("#group"), () => this.#exported());
    closeMenus(find("#group"));
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows names of group and interval, before there are counts. `scope`: see `scopeOf`. */
  name(group, interval, route, scope) {
    if (this.#names?.route.event !== route.event) this.#event.clear();
    this.#names = { group, interval, route };
    showHeading(find("#group"), group, interval, route, this.#shown?.figures.row(route.event)?.label);
    this.#controls.show(scope, route);
    this.#list.filter = route.filter;
  }

  /** Hides the figures until those of another range of the same group and interval arrive. */
  wait() {
    setAttribute(find("#figures"), "aria-busy", "true");
    this.#forget();
  }

  /** Clears the state of the previous group or interval. */
  clear() {
    this.#list.selected = null;
    find("#figures").hidden = true;
    this.#forget();
  }

  /** Shows counts as of `now`, Unix seconds of the server, and the limits of alerts. */
  show(figures, route, now, alerts) {
    this.#shown = { figures, route, now, alerts };
    const isEvent = route.event !== null;
    const row = isEvent ? figures.row(route.event) : null;
    if (isEvent && !row && !figures.isWhole) return; // its row comes with the others
    find("#figures").hidden = false;
    setAttribute(find("#figures"), "aria-busy", null);
    find("#figures").classList.toggle("unknown", isEvent && !row);
    find("#list").hidden = isEvent;
    find("#event").hidden = !isEvent;
    this.#controls.period = figures.bounds;
    showExtent(find("#extent"), figures.loaded.step_s, gapsOf(figures, now));
    if (isEvent) this.#showEvent(row);
    else this.#showGroup(filtered(figures.rows, route.filter));
  }

  #showGroup(rows) {
    const { figures, route, now } = this.#shown;
    const sums = sumsOf(figures, rows, route.filter);
    const highest = figures.isRange ? highestOf(figures, rows, route.filter) : null;
    const shown = { sums, ids: rows.map(({ id }) => id), isPart: route.filter !== "", highest, seen: null };
    showTiles(find("#tiles"), figures, shown, now);
    const charted = [...rows, ...filtered(figures.tops, route.filter)];
    this.#chart.show({ ...this.#shown, rows: charted, sums, selected: this.#list.selected });
    this.#list.show(figures, route, rows, now);
  }

  #showEvent(row) {
    const { figures, route, now } = this.#shown;
    const message = find("#event .message");
    message.hidden = Boolean(row);
    const isCut = figures.rows.length < figures.n_events;
    const where = isCut ? `among the first ${formatCount(figures.rows.length)} events` : "in this group";
    setText(message, `No counts of '${visible(route.event)}' are known ${where}.`);
    if (!row) return this.#event.clear();
    const { group, interval } = this.#names;
    showHeading(find("#group"), group, interval, route, row.label);
    const sums = sumsOfRow(figures, row);
    const line = this.#chart.show({ ...this.#shown, rows: [row], sums, selected: null });
    this.#event.show(figures, row, line, now);
    const highest = figures.isRange ? highestOf(figures, [row], null) : null;
    const shown = { sums, ids: [row.id], isPart: true, highest, seen: this.#event.tiles(now) };
    showTiles(find("#tiles"), figures, shown, now);
  }

  #redraw() {
    if (!this.#shown) return;
    const { figures, route, now, alerts } = this.#shown;
    this.show(figures, route, now, alerts);
  }

  #forget() {
    this.#shown = null;
    this.#list.clear();
    this.#chart.clear();
    this.#event.clear();
    this.#exports.clear();
  }

  #open(event) {
    this.#list.selected = event;
    this.#changes({ event }, true);
    scrollTo({ top: 0 });
    find("#title").focus({ preventScroll: true });
  }

  /** Escape leaves the view of an event. */
  #key({ key, target, defaultPrevented }) {
    const isHere = find("#event").checkVisibility() && !target.closest("dialog");
    if (key !== "Escape" || defaultPrevented || !isHere) return;
    this.#changes({ event: null }, true);
    this.#list.focus();
  }

  /** Returns what is shown, for the menus; null without figures. */
  #exported() {
    if (!this.#shown) return null;
    const { figures, route } = this.#shown;
    const { scope, bounds, isRange } = figures;
    const ids = route.filter ? filtered(figures.rows, route.filter).map(({ id }) => id) : null;
    const query = queryOf(scope, figures.n_events);
    const png = () => this.#chart.png(tabName());
    return { scope, query, period: isRange ? bounds : null, route, events: route.event === null ? ids : [route.event], figures, png };
  }
}
