/** The list of groups, each with its state. */

import { firingOf } from "./alerts.js";
import { isStale } from "./conditions.js";
import { element } from "./dom.js";
import { formatRoute } from "./route.js";

/** Shows the groups. Equal groups change nothing, and the focus stays on its group. */
export class GroupList {
  #root;
  #shown = "";

  constructor(root) {
    this.#root = root;
  }

  show(groups, alerts, current, sort) {
    const firing = firingOf(alerts);
    const entries = groups.map((group) => entryOf(group, firing, current, sort));
    const shown = JSON.stringify(entries);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = document.activeElement?.getAttribute("href");
    this.#root.replaceChildren(...entries.map(itemOf));
    if (focused) this.#root.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }
}

/** Returns the worst state of the intervals: `stale`, `new` (no counts yet) or `fresh`; with its label. */
function stateOf(group) {
  if (group.intervals.some(isStale)) return { state: "stale", stateLabel: "stale" };
  const isNew = group.intervals.every(({ overdue_s }) => overdue_s === null);
  if (isNew) return { state: "new", stateLabel: "no counts yet" };
  return { state: "fresh", stateLabel: "" };
}

function entryOf(group, firing, current, sort) {
  const href = formatRoute({ group: group.name, sort });
  const alerts = firing.filter((alert) => alert.group === group.name);
  const severity = alerts[0]?.severity ?? null;
  const title = group.title ?? group.name;
  return { href, title, isCurrent: group.name === current, n_alerts: alerts.length, severity, ...stateOf(group) };
}

function itemOf({ href, title, isCurrent, n_alerts, severity, state, stateLabel }) {
  const link = element("a", { href, class: `group ${state}`, "aria-current": isCurrent ? "page" : null });
  link.append(element("span", { class: "dot" }), element("span", { class: "name", title }, title));
  const alerts = n_alerts === 1 ? "1 alert" : `${n_alerts} alerts`;
  if (n_alerts) link.append(element("span", { class: `state alert ${severity}` }, alerts));
  if (stateLabel) link.append(element("span", { class: "state" }, stateLabel));
  return element("li", {}, link);
}
