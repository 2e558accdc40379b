/** Words about one group in the overview: what is wrong, since when, and compared with what. Pure functions. */

import { reasonOf } from "./alerts.js";
import { formatChange, formatCount, formatDate, formatDuration, formatSpan, formatTime, visible } from "./format.js";

/** Most alerts of a group that are shown one by one. */
const MOST_ALERTS = 3;
/** A smaller change has no arrow. */
const NO_CHANGE = 0.005;
const DAY_S = 86_400;
/** Lengths of which most intervals are multiples, the longest first. */
const STEPS_S = [300, 60];

/** Returns the problems of a group, the worst first: {kind, mark, label, name, details}. */
export function problemsOf(row, now) {
  const alerts = row.alerts.map((alert) => alertWords(alert, now));
  const more = alerts.length - MOST_ALERTS;
  const shown = more > 1 ? [...alerts.slice(0, MOST_ALERTS), moreAlerts(alerts.length - MOST_ALERTS)] : alerts;
  return [...shown, ...(row.problem === "unavailable" ? [UNAVAILABLE] : stateWords(row, now))];
}

const UNAVAILABLE = {
  kind: "critical",
  mark: "▲",
  label: "unavailable",
  name: "",
  details: ["Redis rejects to read the counts"],
};

function alertWords(alert, now) {
  const { severity, name, since, acknowledged } = alert;
  const details = [reasonOf(alert)];
  if (since !== null) details.push(sinceWords(since, now));
  if (acknowledged) details.push("acknowledged");
  return { kind: severity, mark: severity === "critical" ? "▲" : "◆", label: severity, name: visible(name), details };
}

function moreAlerts(n) {
  return { kind: "warning", mark: "◆", label: `${n} more alerts`, name: "", details: [] };
}

function stateWords({ stale, overdue_s, length_s, master_alive, started }, now) {
  const words = [];
  if (stale && overdue_s !== null && started !== false) {
    const due = `the interval should have ended at ${momentWords(dueAt(now - overdue_s, length_s), now)}`;
    words.push({ kind: "warning", mark: "■", label: `stale for ${formatDuration(roughly(overdue_s))}`, name: "", details: [due] });
  }
  if (master_alive === false) {
    words.push({ kind: "warning", mark: "■", label: "no master", name: "", details: ["counts are kept, but no interval ends"] });
  }
  return words;
}

/** Returns the end of an interval near a time. The server sends `overdue_s` rounded, to half a minute after an hour. */
function dueAt(timestamp, length_s) {
  const step_s = STEPS_S.find((each) => length_s % each === 0) ?? 1;
  return Math.round(timestamp / step_s) * step_s;
}

/** Returns words such as `since 02:41 (13 min)`. */
export function sinceWords(since, now) {
  return `since ${momentWords(since, now)} (${formatDuration(roughly(Math.max(0, now - since)))})`;
}

/** Rounds seconds down to a whole unit, so that a text does not change each second. */
function roughly(seconds) {
  return seconds < 60 ? seconds : seconds - (seconds % (seconds < 3600 ? 60 : seconds < DAY_S ? 600 : 3600));
}

/** Formats Unix seconds as local time, with the day unless it is today. */
function momentWords(timestamp, now) {
  const day = formatDate(timestamp) === formatDate(now) ? "" : `${formatDate(timestamp)}, `;
  return `${day}${formatTime(timestamp)}`;
}

/** Returns the change of a group: {mark, text, detail, isBig}; null if there is nothing to compare with. */
export function changeOf({ change, last }, now) {
  if (!change || !last) return null;
  const { ratio, before, against } = change;
  const count = formatCount(typeof before === "bigint" ? before : Math.round(before));
  const detail = `from ${count} ${against === "day" ? dayBeforeWords(last.start, now) : "just before"}`;
  if (ratio === null) return { mark: "▲", text: formatChange(Infinity), detail, isBig: Number(last.sum) > 0 };
  const mark = Math.abs(ratio) < NO_CHANGE ? "" : ratio > 0 ? "▲" : "▼";
  return { mark, text: formatChange(ratio), detail, isBig: ratio >= 0.5 || ratio <= -1 / 3 };
}

/** Returns the time one day before the start of an interval. After midnight this can be the day before yesterday. */
function dayBeforeWords(start, now) {
  if (start === null) return "a day before";
  const day = formatDate(start - DAY_S);
  return `at ${formatTime(start - DAY_S)} ${day === formatDate(now - DAY_S) ? "yesterday" : `on ${day}`}`;
}

/** Returns the last interval: {count, detail}. */
export function lastOf({ last, length_s, problem }, now) {
  if (problem === "unavailable" && !last) return { count: "–", detail: "unknown" };
  if (!last) return { count: "–", detail: "none finished yet" };
  if (last.start === null) return { count: formatCount(last.sum), detail: `until ${formatTime(last.end)}` };
  const span_s = last.end - last.start;
  const long = span_s > length_s * 1.001 ? ` (${formatDuration(span_s)} long)` : "";
  return { count: formatCount(last.sum), detail: formatSpan(last.start, last.end, now) + long };
}

/** Returns the current interval: {count, detail, progress}; the progress is from 0 to 1. */
export function currentOf({ current, length_s }, now) {
  if (!current || current.start === null) return { count: "–", detail: "not started", progress: 0 };
  const age_s = Math.max(0, now - current.start);
  const detail = `for ${formatDuration(age_s)}`;
  return { count: formatCount(current.sum), detail, progress: Math.min(1, age_s / length_s) };
}

/** Returns words about the group: its unit and interval, and its open sessions. */
export function aboutOf({ unit, interval, open_sessions, started }) {
  const open = open_sessions === null || open_sessions === undefined ? "" : ` · ${formatCount(open_sessions)} open now`;
  const isNew = started === false ? " · no counts yet" : "";
  return `${visible(unit)} per ${interval}${open}${isNew}`;
}

/** Returns the headline of the overview: {title, detail}. */
export function headlineOf(rows) {
  const n = rows.length;
  const n_bad = rows.filter(({ problem }) => problem !== null).length;
  const groups = n === 1 ? "1 group" : `${formatCount(n)} groups`;
  if (n_bad === 0) return { title: `No problems in ${groups}`, detail: "" };
  const title = `${n_bad} of ${groups} ${n_bad === 1 ? "needs" : "need"} attention`;
  return { title, detail: kindsOf(rows).join(" · ") };
}

function kindsOf(rows) {
  const alerts = rows.flatMap((row) => row.alerts);
  const n_critical = alerts.filter(({ severity }) => severity === "critical").length;
  const n_of = (test) => rows.filter(test).length;
  return [
    [n_critical, n_critical === 1 ? "critical alert" : "critical alerts"],
    [alerts.length - n_critical, alerts.length - n_critical === 1 ? "warning" : "warnings"],
    [n_of(({ problem, stale, started }) => problem && stale && started !== false), "stale"],
    [n_of(({ problem, master_alive }) => problem && master_alive === false), "without a master"],
    [n_of(({ problem }) => problem === "unavailable"), "unavailable"],
  ]
    .filter(([count]) => count > 0)
    .map(([count, words]) => `${count} ${words}`);
}
