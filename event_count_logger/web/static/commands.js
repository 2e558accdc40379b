/** Commands and expressions that return the figures of a view elsewhere, as pure functions. */

import { pathOfCounts } from "./api.js";

/** Characters that need no quotes in a shell. */
const PLAIN = /^[\w@%+=:,./-]+$/;
/** The most events that an expression names. */
const MOST_NAMED = 50;

/**
 * Returns the command with curl.
 *
 * @param base address of the page.
 * @param needsToken whether requests have a token; the command then takes it from the environment.
 */
export function curlCommand(base, place, query, needsToken) {
  const token = needsToken ? ' -H "Authorization: Bearer $TOKEN"' : "";
  return `curl -s${token} ${quoted(new URL(pathOfCounts(place, query), base).href)}`;
}

/**
 * Returns the command `ecl_reader`. Its sums are those of the range; a live view has the last interval.
 *
 * @param events, filter: see `promqlExpression`.
 */
export function readerCommand({ group, interval }, period, { events, filter }) {
  const range = period ? ` --since ${isoOf(period.from)} --until ${isoOf(period.to)} --sum` : "";
  const filters = expressionsOf(events, filter).map((each) => ` | grep ${each}`);
  return `ecl_reader ecl.yml -g ${quoted(group)} -i ${quoted(interval)}${range}${filters.join("")}`;
}

/** Returns the arguments of `grep` for lines such as `EVENT:12`, of which each line matches all. */
function expressionsOf(events, filter) {
  if (events === null) return [];
  const [ids, count] = [events.map(inExpression), ":[0-9]+$"];
  if (events.length > MOST_NAMED) return wordsOf(filter).map((word) => `-iE -e ${quoted(`${inExpression(word)}.*${count}`)}`);
  return [`-E -e ${quoted(`^${ids.length === 1 ? ids[0] : `(${ids.join("|")})`}${count}`)}`];
}

/**
 * Returns an expression of PromQL for the same events and time.
 *
 * @param events IDs of the events that are shown; null for all.
 * @param filter words of which all events have all, where the IDs are too many.
 */
export function promqlExpression({ group, interval }, period, { events, filter, hasSessions, hasTotals }) {
  const few = events !== null && events.length <= MOST_NAMED;
  const some = events === null ? [] : few ? [`event=~${inLabel(events.map(inExpression).join("|"))}`] : patternsOf(filter);
  const labels = [`group=${inLabel(group)}`, ...some];
  const last = `ecl_last_interval_events{${[...labels, `interval=${inLabel(interval)}`].join()}}`;
  if (period === null) return last;
  const [range, at] = [`${Math.round(period.to - period.from)}s`, ` @ ${Math.round(period.to)}`];
  // Without totals, the gauge of the last interval is read once per interval.
  if (!hasTotals) return `sum by (event) (sum_over_time(${last}[${range}:${interval}]${at}))`;
  const total = hasSessions ? "ecl_sessions_total" : "ecl_events_total";
  return `sum by (event) (increase(${total}{${labels}}[${range}]${at}))`;
}

function patternsOf(filter) {
  return wordsOf(filter).map((word) => `event=~${inLabel(`(?i).*${inExpression(word)}.*`)}`);
}

function wordsOf(filter) {
  return filter.split(/\s+/).filter(Boolean);
}

function isoOf(timestamp) {
  return new Date(timestamp * 1000).toISOString().replace(".000Z", "Z");
}

/** Quotes a word for a POSIX shell. */
function quoted(word) {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function inLabel(text) {
  return `"${text.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`;
}

/** Escapes characters that have a meaning in extended regular expressions, and in those of RE2. */
function inExpression(text) {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
