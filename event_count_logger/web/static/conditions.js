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
  const age = age_s === null ? "trying again" : `these figures are ${formatDuration(age_s)} old`;
  if (problem.status === 0) return { kind: "alarm", text: "The server does not answer", detail: age };
  return { kind: "alarm", text: "No new figures", detail: `${problem.message}; ${age}` };
}

function stale({ overdue_s }) {
  return { kind: "warning", text: "Stale", detail: `this interval should have ended ${formatDuration(overdue_s)} ago` };
}

function nothingYet(answer) {
  return { kind: "new", text: "Nothing finished yet", detail: whyNothing(answer) };
}

function whyNothing({ current, length_s, overdue_s }) {
  if (!current) return "nothing was counted so far";
  if (overdue_s > 0) return "the first interval has not ended yet";
  const end = Math.floor(current.start / length_s + 1) * length_s;
  return `the first interval ends at ${formatTime(end, length_s < 60)}`;
}
