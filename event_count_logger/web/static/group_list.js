/** The list of groups, each with its state. */

import { isStale } from "./conditions.js";
import { element } from "./dom.js";
import { formatRoute } from "./route.js";

/** Shows the groups; it is left alone, with the focus in it, where nothing has changed. */
export class GroupList {
  #root;
  #shown = "";

  constructor(root) {
    this.#root = root;
  }

  show(groups, current, sort) {
    const entries = groups.map((group) => entryOf(group, current, sort));
    const shown = JSON.stringify(entries);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = document.activeElement?.getAttribute("href");
    this.#root.replaceChildren(...entries.map(itemOf));
    if (focused) this.#root.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }
}

/** `fresh`, `stale`, or `new` if nothing was ever counted; for all intervals of a group, the worst counts. */
function stateOf(group) {
  if (group.intervals.some(isStale)) return { state: "stale", said: "stale" };
  if (group.intervals.every(({ overdue_s }) => overdue_s === null)) return { state: "new", said: "nothing yet" };
  return { state: "fresh", said: "" };
}

function entryOf(group, current, sort) {
  const href = formatRoute({ group: group.name, sort });
  return { href, title: group.title ?? group.name, isCurrent: group.name === current, ...stateOf(group) };
}

function itemOf({ href, title, isCurrent, state, said }) {
  const link = element("a", { href, class: `group ${state}`, "aria-current": isCurrent ? "page" : null });
  link.append(element("span", { class: "dot" }), element("span", { class: "name", title }, title));
  if (said) link.append(element("span", { class: "said" }, said));
  return element("li", {}, link);
}
