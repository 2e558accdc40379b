/** The page: passes the route and the answers of the server to the views. */

import { AlertBar } from "./alerts.js";
import { Api } from "./api.js";
import { Badges } from "./badges.js";
import { conditionsOf } from "./conditions.js";
import { setText } from "./dom.js";
import { Feed } from "./feed.js";
import { GroupList } from "./group_list.js";
import { GroupView } from "./group_view.js";
import { repeat } from "./repeat.js";
import { formatRoute, parseRoute } from "./route.js";
import { switchThemes } from "./theme.js";
import { token, TokenForm } from "./token_form.js";

/** Milliseconds between two polls of all groups. */
const GROUPS_MS = 5000;
/** The most finished intervals that the page shows. */
const MOST_HISTORY = 1000;

/** The title of the page while it shows no group. */
const TITLE = document.title;

const find = (selector) => document.querySelector(selector);

class Page {
  #api = new Api(token);
  #route = parseRoute(location.hash);
  #overview = null; // the last answer about all groups
  #alerts = { now: 0, alerts: [] }; // the last answer about alerts
  #problem = null; // the ApiError of the last request
  #feed = null;
  #fed = ""; // group, interval and history length of the feed, as JSON
  #stop = new AbortController();
  #tokenForm = new TokenForm(find("#token"), () => this.start());
  #badges = new Badges(find("#badges"), find("#announcer"));
  #alertBar = new AlertBar(find("#alerts"), find("#alert_announcer"));
  #groupList = new GroupList(find("#groups"));
  #view = new GroupView((part) => this.#change(part));

  constructor() {
    switchThemes(find("#theme"));
    addEventListener("hashchange", () => this.#go());
    setInterval(() => this.#showConditions(), 1000);
  }

  /** Starts or restarts all requests, with the current token. */
  start() {
    this.#stop.abort();
    this.#stop = new AbortController();
    repeat((signal) => this.#askForGroups(signal), (problem) => this.#failed(problem), this.#stop.signal);
  }

  async #askForGroups(signal) {
    [this.#overview, this.#alerts] = await Promise.all([this.#api.groups(signal), this.#api.alerts(signal)]);
    this.#problem = null;
    this.#tokenForm.close();
    this.#go();
    return GROUPS_MS;
  }

  #failed(problem) {
    this.#problem = problem;
    if (problem.status === 401) this.#tokenForm.ask();
    this.#showConditions();
  }

  #change(part) {
    this.#route = { ...this.#route, ...part };
    history.replaceState(null, "", formatRoute(this.#route));
    this.#go();
  }

  /** Shows the group and interval of the address; by default the first ones. */
  #go() {
    this.#route = parseRoute(location.hash);
    if (!this.#overview) return;
    const { groups, version } = this.#overview;
    const { group: name, sort } = this.#route;
    const group = name === null ? groups[0] : groups.find((each) => each.name === name);
    this.#alertBar.show(this.#alerts);
    this.#groupList.show(groups, this.#alerts.alerts, group?.name, sort);
    setText(find("#version"), version);
    const interval = group && intervalOf(group, this.#route.interval);
    find("#group").hidden = !interval;
    find("#missing").hidden = Boolean(interval);
    if (interval) this.#open(group, interval);
    else this.#close(group);
    this.#showConditions();
  }

  #open(group, interval) {
    this.#view.name(group, interval, this.#route);
    const place = { group: group.name, interval: interval.name };
    const historyLength = Math.min(interval.history, MOST_HISTORY);
    if (this.#fed !== JSON.stringify([place, historyLength])) this.#follow(place, historyLength);
    else this.#showFigures();
  }

  /** Shows which one does not exist: the group, or its interval. */
  #close(group) {
    setText(find("#missing"), this.#missing(group));
    document.title = TITLE;
    this.#forget();
  }

  #missing(group) {
    const { group: name, interval } = this.#route;
    if (name === null && !group) return "There are no groups to show.";
    const fact = group ? `Group '${group.name}' has no interval '${interval}'.` : `Group '${name}' does not exist.`;
    return `${fact} Choose a group from the list.`;
  }

  /** Stops the feed and hides its counts, until those of another group or interval arrive. */
  #forget() {
    this.#feed?.stop();
    this.#feed = null;
    this.#fed = "";
    this.#view.clear();
  }

  #follow(place, historyLength) {
    this.#forget();
    this.#fed = JSON.stringify([place, historyLength]);
    this.#feed = new Feed(this.#api, place, historyLength, () => {
      this.#showFigures();
      this.#showConditions();
    });
  }

  #showFigures() {
    const { figures, answeredAt } = this.#feed;
    if (!figures) return;
    const age_s = (performance.now() - answeredAt) / 1000;
    this.#view.show(figures, this.#route, figures.answer.server_time + age_s, this.#alerts.alerts);
  }

  #showConditions() {
    const { figures = null, problem = null, answeredAt = null } = this.#feed ?? {};
    const found = problem ?? this.#problem;
    const age_s = answeredAt === null ? null : (performance.now() - answeredAt) / 1000;
    const group = this.#overview?.groups.find(({ name }) => name === figures?.answer.group);
    const masterAlive = (group ?? this.#overview)?.master_alive ?? null;
    this.#badges.show(conditionsOf({ problem: found, age_s, masterAlive, answer: figures?.answer ?? null }));
    for (const part of [find(".layout"), find("#alerts")]) part.classList.toggle("outdated", found !== null);
  }
}

/** Returns the interval of a group with that name, by default its first one; undefined if it does not exist. */
function intervalOf({ intervals }, name) {
  return name === null ? intervals[0] : intervals.find((each) => each.name === name);
}

new Page().start();
