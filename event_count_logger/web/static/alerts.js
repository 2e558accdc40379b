/** Alerts: those that fire as a bar at the top of the page, and limits as lines in the chart. */

import { element, setText } from "./dom.js";
import { formatCount, formatDate, formatDuration, formatTime, visible } from "./format.js";
import { formatRoute } from "./route.js";

const MARKS = { critical: "▲", warning: "◆" };
/** Most alerts of the shown group that have a line of their own. */
const MOST_OWN = 2;
/** Most other groups that are named. */
const MOST_PLACES = 3;

/** The alerts of the shown group, one by one, and a line about those of other groups: a few lines at most. */
export class AlertBar {
  #root;
  #shown = "";

  /** `root` holds the bar. */
  constructor(root) {
    this.#root = root;
  }

  /** Shows the firing alerts of all groups, as seen from group `current`. Equal alerts change nothing. */
  show(rows, current, now) {
    const entries = entriesOf(rows, current, now);
    const shown = JSON.stringify(entries);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = document.activeElement?.closest("#alerts a")?.getAttribute("href");
    this.#root.replaceChildren(...entries.map(itemOf));
    this.#root.hidden = entries.length === 0;
    if (focused) this.#root.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }
}

/** Returns the lines of the bar: {href, severity, label, name, details}. */
export function entriesOf(rows, current, now) {
  const own = rows.find(({ name }) => name === current)?.alerts ?? [];
  const others = rows.filter(({ name, alerts }) => name !== current && alerts.length > 0);
  const lines = own.slice(0, MOST_OWN).map((alert) => entryOf(current, alert, now));
  if (own.length > MOST_OWN) lines.push(sumOf(own.slice(MOST_OWN), "more", "in this group"));
  const alerts = others.flatMap((row) => row.alerts);
  return alerts.length ? [...lines, sumOf(alerts, own.length ? "more" : "", placesOf(others))] : lines;
}

/** Returns the value of a firing alert and its limit, such as `214, above 100`. */
export function reasonOf({ reason, value, limit }) {
  if (!limit) return value ? `${reason} for ${formatDuration(Number(value))}` : reason;
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

function entryOf(group, alert, now) {
  const { name, interval, severity, since, acknowledged, acknowledged_until: until } = alert;
  const details = [...(interval ? [interval] : []), reasonOf(alert)];
  if (since !== null) details.push(`since ${formatMoment(since, now)}`);
  if (acknowledged) details.push(until ? `acknowledged until ${formatMoment(until, now)}` : "acknowledged");
  return { href: formatRoute({ group, interval }), severity, label: severity, name: visible(name), details };
}

/** Returns one line about several alerts, which leads to the overview. */
function sumOf(alerts, more, place) {
  const severity = alerts.some((alert) => alert.severity === "critical") ? "critical" : "warning";
  const noun = alerts.length === 1 ? "alert" : "alerts";
  const label = [alerts.length, more, noun].filter(Boolean).join(" ");
  return { href: formatRoute({}), severity, label, name: "", details: [place] };
}

/** Names some groups, and the number of the others. */
function placesOf(rows) {
  const titles = rows.slice(0, MOST_PLACES).map(({ title, name }) => visible(title ?? name));
  const more = rows.length - titles.length;
  return `in ${titles.join(", ")}${more ? ` and ${more} other ${more === 1 ? "group" : "groups"}` : ""}`;
}

function itemOf({ href, severity, label, name, details }) {
  const mark = element("span", { class: "mark", "aria-hidden": "true" }, MARKS[severity]);
  const link = element("a", { href, class: severity }, mark, element("span", { class: "severity" }, label));
  if (name) link.append(element("strong", {}, name));
  link.append(...details.map((detail) => element("span", {}, detail)));
  return element("li", {}, link);
}

/** Formats Unix seconds as local time, with the day unless it is today. */
function formatMoment(timestamp, now) {
  const day = formatDate(timestamp) === formatDate(now) ? "" : `${formatDate(timestamp)}, `;
  return `${day}${formatTime(timestamp)}`;
}
