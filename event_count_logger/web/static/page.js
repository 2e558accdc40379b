/** The page: shows the overview, or the group of the address. */

import { Announcer } from "./announcements.js";
import { Api } from "./api.js";
import { Badges } from "./badges.js";
import { clock } from "./clock.js";
import { conditionsOf } from "./conditions.js";
import { setText } from "./dom.js";
import { EventSearch } from "./event_search.js";
import { visible } from "./format.js";
import { GroupPage } from "./group_page.js";
import { listenEverywhere } from "./help.js";
import { OverviewFeed } from "./overview_feed.js";
import { listenInOverview } from "./overview_keys.js";
import { nProblems, rowsOf } from "./overview_state.js";
import { OverviewView } from "./overview_view.js";
import { Pins } from "./pins.js";
import { formatRoute, parseRoute } from "./route.js";
import { countProblems, nameTab } from "./tab_title.js";
import { switchThemes } from "./theme.js";
import { token, TokenForm } from "./token_form.js";

/** The title of the page while it shows no group. */
const TITLE = document.title;

/** Age of figures that are old without an error: a request ends within 10 s, and the pause after it within 40 s. */
const OLD_S = 60;
/** Milliseconds that a page has for new figures after it becomes visible, before old ones are marked. */
const SEEN_MS = 1000;

const find = (selector) => document.querySelector(selector);

class Page {
  #api = new Api(token);
  #route = parseRoute(location.hash);
  #all = new OverviewFeed(this.#api, () => this.#allChanged());
  #opened = null; // the name of the group that was opened last
  #scrollY = 0; // of the overview
  #tokenForm = new TokenForm(find("#token"), () => this.start());
  #badges = new Badges(find("#badges"), find("#announcer"));
  #announcer = new Announcer(find("#alert_announcer"));
  #pins = new Pins();
  #overview = new OverviewView(this.#pins);
  #search = find("#search");
  #eventSearch = new EventSearch(this.#api, find("#found_events"));
  #seenAt = clock(); // the page is visible since then
  #group = null; // the GroupPage, once a group was opened

  constructor() {
    switchThemes(find("#theme"));
    addEventListener("hashchange", () => this.#go());
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    document.addEventListener("visibilitychange", () => (this.#seenAt = clock()));
    setInterval(() => this.#tick(), 1000);
    find(".skip").addEventListener("click", skip);
    this.#search.addEventListener("input", () => this.#searchFor(this.#search.value));
    this.#listenToKeys();
  }

  /** Starts or restarts all requests, with the current token. */
  start() {
    this.#group?.hide();
    this.#all.start();
    this.#go();
  }

  #listenToKeys() {
    const [root, search] = [find("#overview"), this.#search];
    const [pins, clears] = [(name) => this.#overview.pin(name), () => this.#searchFor("")];
    listenInOverview({ root, search, pins, clears });
    const returns = () => this.#route.group !== null && (location.hash = "");
    listenEverywhere({ dialog: find("#help"), button: find("#keys"), search, returns });
  }

  #allChanged() {
    const { problem, state } = this.#all;
    if (problem === null) {
      this.#tokenForm.close();
      this.#announcer.show(rowsOf(state));
      countProblems(nProblems(state));
      setText(find("#version"), state.version);
    } else if (problem.status === 401) this.#tokenForm.ask();
    this.#go();
  }

  #groupChanged() {
    if (this.#group.problem?.status === 401) this.#tokenForm.ask();
    this.#showConditions();
  }

  /** Changes a part of the route. `isStep`: the back button undoes it. */
  #change(part, isStep) {
    const address = formatRoute({ ...this.#route, ...part });
    if (isStep && address !== formatRoute(this.#route)) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    this.#go();
  }

  /** Shows the overview with a search. Typing makes one entry in the history of the browser. */
  #searchFor(words) {
    const address = formatRoute({ q: words });
    if (this.#route.group === null) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    this.#go();
  }

  #go() {
    this.#route = parseRoute(location.hash);
    if (this.#search.value !== this.#route.q) this.#search.value = this.#route.q;
    this.#all.isStreamed = this.#route.group === null; // the view of a group has a stream of its own
    if (this.#route.group === null) this.#showOverview();
    else this.#showGroup();
    this.#showConditions();
  }

  #showOverview() {
    const { state } = this.#all;
    if (state === null) return;
    this.#group?.hide();
    const isBack = this.#switchTo("overview");
    nameTab(TITLE);
    this.#overview.show(state, this.#now(), this.#route.q);
    this.#eventSearch.ask(this.#route.q, (name) => visible(state.rows.get(name)?.title ?? name));
    if (isBack) this.#return();
  }

  /** Shows the overview as it was left: at its place, with the focus on the group that was opened. */
  #return() {
    scrollTo(0, this.#scrollY);
    if (isFocusLost()) this.#overview.focus(this.#opened);
  }

  /** Notes the place in the overview. On the way to a group, the browser scrolls before the group is shown. */
  #scrolled() {
    const isShown = document.body.dataset.view === "overview" && parseRoute(location.hash).group === null;
    if (isShown) this.#scrollY = scrollY;
  }

  #showGroup() {
    const { group: name } = this.#route;
    const { view } = document.body.dataset;
    const isOther = this.#switchTo("group") || this.#opened !== name;
    this.#opened = name;
    if (view !== undefined) { // the first view takes no time to look for the focus and to scroll
      if (isOther) scrollTo(0, 0);
      if (isFocusLost()) find("#main").focus({ preventScroll: true });
    }
    this.#groupPage().show(this.#route, this.#all.state, this.#now());
  }

  /** Returns the view of a group; it is made when the first group is opened. */
  #groupPage() {
    this.#group ??= new GroupPage(this.#api, {
      title: TITLE,
      isPinned: (name) => this.#pins.has(name),
      changes: (part, isStep) => this.#change(part, isStep),
      changed: () => this.#groupChanged(),
    });
    return this.#group;
  }

  /** Shows one of the views, and returns whether another one was shown. */
  #switchTo(view) {
    const before = document.body.dataset.view;
    document.body.dataset.view = view;
    find("#overview").hidden = view !== "overview";
    find("#side").hidden = view === "overview";
    return before !== undefined && before !== view;
  }

  /** Updates ages. */
  #tick() {
    if (document.hidden) return; // a hidden page requests nothing
    if (this.#route.group === null) this.#go();
    else this.#showConditions();
  }

  /** Unix seconds of the server. They are those of the last answer while the figures are not current. */
  #now() {
    const { state, age_s, problem } = this.#all;
    return state ? state.now + (problem || this.#isOld(age_s) ? 0 : age_s) : 0;
  }

  /** Returns true if figures are too old: the computer slept, or the page was hidden, and no answer has come since. */
  #isOld(age_s) {
    return age_s !== null && age_s > OLD_S && clock() - this.#seenAt > SEEN_MS;
  }

  #showConditions() {
    const isGroup = this.#route.group !== null;
    const { answer, age_s } = isGroup && this.#group ? this.#group : { answer: null, age_s: this.#all.age_s };
    const problem = (isGroup && this.#group?.problem) || this.#all.problem;
    const { rows, masterAlive = null } = this.#all.state ?? {};
    const isRotated = rows?.get(answer?.group)?.master_alive ?? masterAlive;
    const isOld = this.#isOld(age_s);
    this.#badges.show(conditionsOf({ problem, age_s, isOld, masterAlive: isRotated, answer }));
    for (const part of [find(".layout"), find("#alerts")]) part.classList.toggle("outdated", problem !== null || isOld);
  }
}

/** Returns true if the focus is on nothing in particular, or on an element that is no longer shown. */
function isFocusLost() {
  const focused = document.activeElement;
  return !focused || [document.body, find("#main")].includes(focused) || !focused.checkVisibility();
}

/** Moves the focus to the figures. The address stays, because its part behind # is the route. */
function skip(event) {
  event.preventDefault();
  find("#main").focus();
}

new Page().start();
