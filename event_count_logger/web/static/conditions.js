/** What there is to say about the figures: pure functions. Data, "nothing yet" and "stale" are told apart here. */

import { formatDuration, formatTime } from "./format.js";

/** Seconds that a rotation may be late before it is said to be; `ecl status` allows as many. */
const TOLERANCE_S = 2;

/** Whether the last finished interval is not the latest complete one. */
export function isStale({ stale, overdue_s }) {
  return stale && overdue_s !== null && overdue_s > TOLERANCE_S;
}

/**
 * The badges of the page: each has a `kind` (its colour), a `text`, and a `detail`, which may change each second.
 *
 * @param problem why there was no answer, or null. What is then shown is `age_s` seconds old; null: nothing is.
 * @param masterAlive whether a master of the group is alive; null if not known.
 * @param answer the last one about this group and interval, or null.
 */
export function conditionsOf({ problem, age_s, masterAlive, answer }) {
  if (problem) return [unanswered(problem, age_s)];
  return [
    ...(masterAlive === false ? [NO_MASTER] : []),
    ...(answer && isStale(answer) ? [stale(answer)] : []),
    ...(answer && !answer.last ? [nothingYet(answer)] : []),
  ];
}

const NO_MASTER = { kind: "alarm", text: "No master runs", detail: "counting goes on, but no interval ends" };

function unanswered(problem, age_s) {
  const text = { 0: "The server does not answer", 503: "Redis is away" }[problem.status] ?? "No figures";
  const isKnown = problem.status === 0 || problem.status === 503;
  const age = age_s === null ? "trying again" : `these figures are ${formatDuration(age_s)} old`;
  return { kind: "alarm", text, detail: isKnown ? age : problem.message };
}

function stale({ overdue_s }) {
  return { kind: "warning", text: "Stale", detail: `this interval should have ended ${formatDuration(overdue_s)} ago` };
}

function nothingYet({ current, length_s }) {
  const end = current ? Math.floor(current.start / length_s + 1) * length_s : null;
  const detail = end ? `the first interval ends at ${formatTime(end, length_s < 60)}` : "nothing was counted so far";
  return { kind: "new", text: "Nothing finished yet", detail };
}
