/** Alerts: those that fire as a bar at the top of the page, and limits as lines in the chart. */

import { element, setText } from "./dom.js";
import { formatCount, formatDate, formatDuration, formatTime } from "./format.js";
import { formatRoute } from "./route.js";

const MARKS = { critical: "▲", warning: "◆" };

/** `root` holds the bar; `announcer` is a live region that only screen readers see. */
export class AlertBar {
  #root;
  #announcer;
  #shown = "";

  constructor(root, announcer) {
    this.#root = root;
    this.#announcer = announcer;
  }

  /** Shows the firing alerts of an answer. Equal alerts change nothing, and the focus stays on its alert. */
  show({ alerts, now }) {
    const firing = firingOf(alerts);
    const entries = firing.map((alert) => entryOf(alert, now));
    const shown = JSON.stringify(entries);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = document.activeElement?.closest("#alerts a")?.getAttribute("href");
    this.#root.replaceChildren(...entries.map(itemOf));
    this.#root.hidden = entries.length === 0;
    if (focused) this.#root.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    setText(this.#announcer, firing.map(({ name, severity }) => `${severity} alert: ${name}`).join(". "));
  }
}

/** Returns the firing alerts, critical ones first. */
export function firingOf(alerts) {
  const firing = alerts.filter(({ state }) => state === "firing");
  return firing.toSorted((a, b) => (a.severity === "warning") - (b.severity === "warning"));
}

/** Returns the value of a firing alert and its limit, such as `214, above 100`. */
export function reasonOf({ stale, reason, value, limit }) {
  if (stale) return value ? `${reason} for ${formatDuration(Number(value))}` : reason;
  if (value === null) return "nothing counted";
  const unit = limit.percent ? " %" : "";
  return `${formatValue(value)}${unit}, ${limit.kind} ${formatValue(limit.value)}${unit}`;
}

/**
 * Returns the limits to draw in the chart of a group: {kind, value} for each rule about what the bars show.
 *
 * Bars show one selected event, or all events if there is neither a selection nor a filter.
 */
export function limitsOf(alerts, { group, interval, selected, filter }) {
  const shown = selected ?? (filter ? null : "*");
  return alerts
    .filter((alert) => alert.group === group && alert.interval === interval && alert.limit && !alert.limit.percent)
    .filter(({ event }) => event.length === 1 && event[0] === shown)
    .map(({ limit: { kind, value } }) => ({ kind, value: Number(value) }));
}

/** Formats a count; an average or a percentage has at most two decimals. */
function formatValue(value) {
  return Number.isInteger(Number(value)) ? formatCount(value) : Number(value).toFixed(2);
}

function entryOf(alert, now) {
  const { name, group, interval, severity, since, acknowledged, acknowledged_until: until } = alert;
  const details = [interval ? `${group} · ${interval}` : group, reasonOf(alert)];
  if (since !== null) details.push(`since ${formatMoment(since, now)}`);
  if (acknowledged) details.push(until === null ? "acknowledged" : `acknowledged until ${formatMoment(until, now)}`);
  return { href: formatRoute({ group, interval }), severity, name, details };
}

function itemOf({ href, severity, name, details }) {
  const mark = element("span", { class: "mark", "aria-hidden": "true" }, MARKS[severity]);
  const link = element("a", { href, class: severity }, mark, element("span", { class: "severity" }, severity));
  link.append(element("strong", {}, name), ...details.map((detail) => element("span", {}, detail)));
  return element("li", {}, link);
}

/** Formats Unix seconds as local time, with the day unless it is today. */
function formatMoment(timestamp, now) {
  const day = formatDate(timestamp) === formatDate(now) ? "" : `${formatDate(timestamp)}, `;
  return `${day}${formatTime(timestamp)}`;
}
