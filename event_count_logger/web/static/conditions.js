/** Conditions of the counts, as pure functions: up to date, "no finished interval yet", or "stale". */

import { formatDate, formatDuration, formatTime } from "./format.js";

/** Seconds that a rotation may be late before it counts as stale; the same as in `ecl status`. */
const TOLERANCE_S = 2;
const DAY_S = 86_400;

/** Returns true if an interval is over but was not rotated. */
export function isStale({ stale, overdue_s }) {
  return stale && overdue_s !== null && overdue_s > TOLERANCE_S;
}

/**
 * Returns the badges of the page.
 *
 * Each has a `kind` (its colour), a `text`, and a `detail`, which may change each second.
 *
 * @param problem the ApiError of the last request, or null.
 * @param age_s seconds since the last answer; null if there was none.
 * @param isOld true if that is too long, although no request has failed.
 * @param masterAlive true if a master of the group is alive; null if unknown.
 * @param answer the last answer about this group and interval, or null.
 */
export function conditionsOf({ problem, age_s, isOld = false, masterAlive, answer }) {
  if (problem || isOld) return [unanswered(problem, age_s)];
  return [
    ...(masterAlive === false ? [NO_MASTER] : []),
    ...(answer && isStale(answer) ? [stale(answer)] : []),
    ...(answer && !answer.last ? [nothingYet(answer)] : []),
  ];
}

const NO_MASTER = { kind: "warning", text: "No master", detail: "counts are kept, but no interval ends" };

function unanswered(problem, age_s) {
  const age = age_s === null ? "retrying" : `last update ${formatDuration(age_s)} ago`;
  if (problem === null) return { kind: "alarm", text: "Not up to date", detail: age };
  if (problem.status === 0) return { kind: "alarm", text: "Server unreachable", detail: age };
  return { kind: "alarm", text: "Not up to date", detail: `${problem.message}; ${age}` };
}

function stale({ overdue_s }) {
  const ago = formatDuration(overdue_s);
  return { kind: "warning", text: "Stale", detail: `the current interval should have ended ${ago} ago` };
}

function nothingYet(answer) {
  return { kind: "new", text: "No finished interval yet", detail: whyNothing(answer) };
}

function whyNothing({ current, length_s, offset_s, overdue_s }) {
  if (!current) return "no counts yet";
  if (overdue_s > 0) return "the first interval has not ended yet";
  const end = Math.floor((current.start - offset_s) / length_s + 1) * length_s + offset_s;
  const day = length_s <= DAY_S ? "" : `on ${formatDate(end)} `;
  return `the first interval ends ${day}at ${formatTime(end, length_s < 60)}`;
}
