/** The list of groups beside a group, each with its state. */

import { byName } from "./alphabet.js";
import { element, setText } from "./dom.js";
import { visible } from "./format.js";
import { formatRoute } from "./route.js";

const STATES = { stale: "stale", no_master: "no master", unavailable: "unavailable" };

/** Shows the groups: problems first, then pinned ones, then the others by title, so that these keep their places. */
export class GroupList {
  #root;
  #back;
  #isPinned;
  #shown = "";
  #place = ""; // of the current group

  /** `root` is the list, `back` the link to the overview; `isPinned` takes the name of a group. */
  constructor(root, back, isPinned) {
    this.#root = root;
    this.#back = back;
    this.#isPinned = isPinned;
  }

  /** Shows the rows of all groups. Equal rows change nothing, and the focus stays on its group. */
  show(rows, current) {
    const entries = ordered(rows, this.#isPinned).map((row) => entryOf(row, current));
    const shown = JSON.stringify(entries);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const n = rows.filter(({ problem }) => problem !== null).length;
    setText(this.#back.lastElementChild, n ? `${n} with problems` : "");
    const focused = this.#root.contains(document.activeElement) && document.activeElement.getAttribute("href");
    this.#root.replaceChildren(...entries.map(itemOf));
    if (focused) this.#root.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    const place = `${entries.findIndex(({ isCurrent }) => isCurrent)} ${current}`;
    if (place !== this.#place) this.#reveal();
    this.#place = place;
  }

  /** Scrolls the list, but not the page, until the current group is in sight. */
  #reveal() {
    const link = this.#root.querySelector("[aria-current]");
    const scroller = this.#root.parentElement;
    if (!link) return;
    const [inner, outer] = [link.getBoundingClientRect(), scroller.getBoundingClientRect()];
    const isStrip = getComputedStyle(this.#back).position === "sticky";
    const left = isStrip ? this.#back.getBoundingClientRect().right : outer.left; // the link covers a part of a strip
    const isHidden = inner.left < left || inner.right > outer.right || inner.top < outer.top || inner.bottom > outer.bottom;
    if (!isHidden) return;
    scroller.scrollLeft += inner.left - left - (outer.right - left - inner.width) / 2;
    scroller.scrollTop += inner.top - outer.top - (outer.height - inner.height) / 2;
  }
}

/** Returns the rows in the order of the list. */
export function ordered(rows, isPinned) {
  const place = ({ problem, name }) => (problem !== null ? 0 : isPinned(name) ? 1 : 2);
  const byTitle = (a, b) => byName(a.title ?? a.name, b.title ?? b.name);
  return rows.toSorted((a, b) => place(a) - place(b) || (place(a) && byTitle(a, b)));
}

function entryOf({ name, title, alerts, problem, started }, current) {
  const n = alerts.length;
  const kind = alerts.some(({ severity }) => severity === "critical") ? "critical" : problem ? "warning" : "fresh";
  const states = n ? [n === 1 ? "1 alert" : `${n} alerts`] : [];
  if (Object.hasOwn(STATES, problem ?? "")) states.push(STATES[problem]);
  if (!problem && started === false) states.push("no counts yet");
  const isCurrent = name === current;
  return { href: formatRoute({ group: name }), title: visible(title ?? name), isCurrent, kind, states };
}

function itemOf({ href, title, isCurrent, kind, states }) {
  const link = element("a", { href, class: `group ${kind}`, "aria-current": isCurrent ? "page" : null });
  link.append(element("span", { class: "dot" }), element("span", { class: "name", title }, title));
  for (const state of states) link.append(element("span", { class: "state" }, state));
  return element("li", {}, link);
}
