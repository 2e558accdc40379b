/** One group of the page: its figures, with the alerts and the other groups around them. */

import { AlertBar } from "./alerts.js";
import { clock } from "./clock.js";
import { setText } from "./dom.js";
import { Feed } from "./feed.js";
import { GroupList } from "./group_list.js";
import { GroupView } from "./group_view.js";
import { rowsOf } from "./overview_state.js";
import { scopeOf } from "./range.js";
import { repeat } from "./repeat.js";
import { nameTab } from "./tab_title.js";

/** Milliseconds between two polls of the limits of alerts, which are part of the configuration. */
const LIMITS_MS = 30_000;

const find = (selector) => document.querySelector(selector);

/** Shows the group of the route; asks for nothing while no group is shown. */
export class GroupPage {
  #api;
  #changed;
  #title;
  #alerts = []; // all alerts with their limits
  #route = null;
  #state = null; // of all groups
  #feed = null;
  #stop = null; // of the poll of the limits
  #alertBar = new AlertBar(find("#alerts"));
  #groupList;
  #view;

  /**
   * `changed()` is called after each answer; see GroupView for `changes`.
   *
   * @param title the title of the page without a group.
   */
  constructor(api, { title, isPinned, changes, changed }) {
    this.#api = api;
    this.#title = title;
    this.#changed = changed;
    this.#groupList = new GroupList(find("#groups"), find("#all_groups"), isPinned);
    this.#view = new GroupView(api, changes);
  }

  /** The ApiError of the last request; null if that succeeded. */
  get problem() {
    return this.#feed?.problem ?? null;
  }

  /** Seconds since the last figures; null before the first ones. */
  get age_s() {
    const at = this.#feed?.answeredAt ?? null;
    return at === null ? null : (clock() - at) / 1000;
  }

  /** The last answer about the shown group; null before the first one. */
  get answer() {
    return this.#feed?.figures?.answer ?? null;
  }

  /** Shows the group of a route. `state` is that of all groups, or null; `now` is in Unix seconds of the server. */
  show(route, state, now) {
    const isSame = state === this.#state && route.group === this.#route?.group;
    this.#route = route;
    this.#state = state;
    if (state === null) return;
    this.#showGroup(); // first, so that the figures are requested
    if (isSame) return;
    this.#alertBar.show(rowsOf(state), route.group, now);
    this.#groupList.show(rowsOf(state), route.group);
  }

  /** Stops all requests and hides the figures. */
  hide() {
    if (this.#state === null) return;
    this.#state = null;
    this.#stop?.abort();
    this.#stop = null;
    this.#forget();
    this.#alertBar.show([], null, 0);
    find("#group").hidden = find("#missing").hidden = true;
  }

  /** Asks for the limits in the chart. They come after the figures, whose requests report errors. */
  #askForLimits() {
    this.#stop = new AbortController();
    repeat((signal) => this.#readLimits(signal), () => {}, this.#stop.signal);
  }

  async #readLimits(signal) {
    ({ alerts: this.#alerts } = await this.#api.alerts(signal));
    this.#showFigures();
    return LIMITS_MS;
  }

  #showGroup() {
    const group = this.#state.rows.get(this.#route.group);
    const interval = group && intervalOf(group, this.#route.interval);
    find("#group").hidden = !interval;
    find("#missing").hidden = Boolean(interval);
    if (interval) this.#open(group, interval);
    else this.#close(group);
  }

  #open(group, interval) {
    const scope = scopeOf(group, interval, this.#route);
    this.#view.name(group, interval, this.#route, scope);
    if (this.#feed?.scope.key !== scope.key) this.#follow(scope);
    else this.#showFigures();
  }

  /** Shows which one does not exist: the group, or its interval. */
  #close(group) {
    setText(find("#missing"), missingWords(this.#route, group));
    nameTab(this.#title);
    this.#forget();
  }

  /** Stops the feed and hides its counts, until those of another group or interval arrive. */
  #forget() {
    this.#feed?.stop();
    this.#feed = null;
    this.#view.clear();
  }

  #follow(scope) {
    const { group, interval } = this.#feed?.scope ?? {};
    if (group === scope.group && interval === scope.interval) this.#view.wait();
    else this.#view.clear();
    this.#feed?.stop();
    this.#feed = new Feed(this.#api, scope, this.#route, () => {
      this.#showFigures();
      this.#changed();
    });
  }

  #showFigures() {
    const figures = this.#feed?.figures;
    if (!figures) return;
    this.#view.show(figures, this.#route, figures.answer.server_time + this.age_s, this.#alerts);
    if (this.#stop === null) this.#askForLimits();
  }
}

/** Returns the interval of a group with that name, by default its first one; undefined if it does not exist. */
function intervalOf({ intervals }, name) {
  return name === null ? intervals[0] : intervals.find((each) => each.name === name);
}

function missingWords({ group: name, interval }, group) {
  const fact = group ? `Group '${name}' has no interval '${interval}'.` : `Group '${name}' does not exist.`;
  return `${fact} Choose a group from the list.`;
}
