/** Series of the chart, as pure functions: which events are drawn, and the sum of all others. */

import { sumOf } from "./counts.js";
import { formatCount } from "./format.js";
import { visible } from "./visible.js";

/** Number of events with a colour of their own; more colours would look alike. */
const LARGEST = 6;
/** Stands for the sum of all other events where an ID is expected. No event ID begins with `@`. */
export const OTHERS = "@others";
/** Stands for the lines of the comparison. */
export const COMPARED = "@compared";
/** Stands before the ID of the only series to draw. */
const ONLY = "@only:";
/** Share by which a count usually varies. */
const USUAL_VARIATION = 0.1;
/** An event among the others that changed by more than this is named below the chart. */
const STRIKING = 10;

/**
 * Returns the series of a view: {series, totals, striking}.
 *
 * A series has: id; label; colour (`0` to `5`, `others`); counts per span; n_events; isHidden. Series are in
 * alphabetical order, and the others are last. `totals` are the exact sums of all events per span. `striking` is the
 * label of an event among the others that changed much; null if there is none. Labels have passed `visible`.
 *
 * @param shares per span: length of the interval / length of the span.
 * @param colours a Colours, which keeps the colour of each event.
 */
export function seriesOf(view, shares, colours) {
  const scanned = scan(view.rows, shares);
  const totals = view.sums ?? exactTotals(view.rows, scanned.totals);
  const chosen = choose(view, scanned.scores);
  const rest = othersOf(view, chosen, totals);
  const colourOf = colours.of(chosen.map(({ id }) => id));
  const series = [...chosen.map((row) => oneOf(row, colourOf.get(row.id))), ...rest];
  const ids = series.map(({ id }) => id);
  const hide = view.hide.filter((entry) => !entry.startsWith(ONLY) || ids.includes(entry.slice(ONLY.length)));
  const marked = series.map((each) => ({ ...each, isHidden: isHidden(each.id, hide) }));
  return { series: marked, totals, striking: strikingOf(view, scanned.scores, chosen) };
}

/**
 * Sums the spans of all rows, and rates how far the highest and the lowest span of each row is from its other spans.
 *
 * One pass, because there may be a million counts.
 */
function scan(rows, shares) {
  const totals = new Float64Array(shares.length);
  const factors = Float64Array.from(shares);
  const scores = rows.map((row) => Math.max(scanRow(row, factors, totals), byComparison(Number(row.sum), row.change)));
  return { totals, scores };
}

/** Adds the counts of a row to the totals, and returns the largest deviation of a span from the others. */
function scanRow({ history, sum }, shares, totals) {
  const n = Math.min(shares.length, history.length);
  let low = Infinity;
  let high = 0;
  for (let index = 0; index < n; index += 1) {
    const exact = history[index];
    const count = typeof exact === "number" ? exact : Number(exact ?? 0);
    const rate = count * shares[index];
    totals[index] += count;
    if (rate < low) low = rate;
    if (rate > high) high = rate;
  }
  if (n < 2) return 0;
  const whole = Number(sum);
  return Math.max(deviation(low, (whole - low) / (n - 1)), deviation(high, (whole - high) / (n - 1)));
}

/**
 * Returns the distance of a count from an expected one, in units of its usual variation.
 *
 * The variance is that of a random count (its mean), plus a tenth of the mean squared, plus one. So 1 -> 3 events is
 * less than 10 000 -> 20 000, and 5 -> 500 is more.
 */
function deviation(count, mean) {
  const expected = Math.max(0, mean);
  return Math.abs(count - expected) / Math.sqrt(expected + (USUAL_VARIATION * expected) ** 2 + 1);
}

function byComparison(sum, change) {
  if (change === null || change === undefined) return 0;
  return deviation(sum, change === Infinity ? 0 : sum / Math.max(1e-9, 1 + change));
}

function exactTotals(rows, totals) {
  return Array.from(totals, (total, n) =>
    Number.isSafeInteger(total) ? total : sumOf(rows.map(({ history }) => history[n] ?? null)),
  );
}

function choose({ rows, pick, selected, hide }, scores) {
  const only = selected === null ? null : rows.find(({ id }) => id === selected);
  if (only) return [only];
  const key = pick === "change" ? [...scores] : rows.map(({ sum }) => Number(sum));
  const shownAlone = rows.findIndex(({ id }) => id === onlyOf(hide));
  if (shownAlone >= 0) key[shownAlone] = Infinity;
  const indices = largest(key, (index) => rows[index].sum > 0, LARGEST);
  return indices.map((index) => rows[index]).sort((a, b) => a.rank - b.rank);
}

/** Returns the indices of the `n` largest keys that are allowed, without sorting all of them. */
export function largest(keys, isAllowed, n) {
  const found = [];
  keys.forEach((key, index) => {
    if ((found.length === n && key <= keys[found.at(-1)]) || !isAllowed(index)) return;
    const place = found.findIndex((each) => keys[each] < key);
    found.splice(place < 0 ? found.length : place, 0, index);
    if (found.length > n) found.pop();
  });
  return found;
}

/** Returns the series of all other events; of a single one its own, and none if an event is selected. */
function othersOf({ rows, sums, selected, n_events = null }, chosen, totals) {
  if (chosen.length === 1 && chosen[0].id === selected) return [];
  const isChosen = new Set(chosen);
  const others = rows.filter((row) => row.sum > 0 && !isChosen.has(row));
  if (others.length === 1 && !sums) return [oneOf(others[0], "others")];
  const counts = totals.map((total, n) => minus(total, sumOf(chosen.map(({ history }) => history[n] ?? null))));
  if (!counts.some(Boolean)) return [];
  const n = sums ? n_events && n_events - chosen.length : others.length;
  return [{ id: OTHERS, label: n ? `${formatCount(n)} other events` : "all other events", colour: "others", counts, n_events: n }];
}

function minus(a, b) {
  if (a === null) return null;
  const difference = typeof a === "number" && typeof b === "number" ? a - b : BigInt(a) - BigInt(b);
  return difference > 0 ? difference : 0;
}

function oneOf({ id, label, history }, colour) {
  return { id, label: visible(label), colour: String(colour), counts: history, n_events: 1 };
}

function strikingOf({ rows, pick, selected }, scores, chosen) {
  if (pick === "change" || selected !== null || rows.length <= LARGEST) return null;
  const isChosen = new Set(chosen);
  const [most] = largest(scores, (index) => rows[index].sum > 0 && !isChosen.has(rows[index]), 1);
  return most !== undefined && scores[most] > STRIKING ? visible(rows[most].label) : null;
}

/** Returns true if a series is not drawn: it is in `hide`, or another one is the only one. */
export function isHidden(id, hide) {
  const only = onlyOf(hide);
  return only === null ? hide.includes(id) : only !== id;
}

/** Returns the ID of the only series to draw; null if there is none. */
export function onlyOf(hide) {
  return hide.find((entry) => entry.startsWith(ONLY))?.slice(ONLY.length) ?? null;
}

/** Returns `hide` after a series was picked; a second time shows all again. */
export function picked(id, hide) {
  return onlyOf(hide) === id ? [] : [ONLY + id];
}

/** Returns `hide` after a series was hidden or shown. `ids` are those of all series. */
export function toggled(id, hide, ids) {
  const hidden = ids.filter((each) => isHidden(each, hide));
  return isHidden(id, hide) ? hidden.filter((each) => each !== id) : [...hidden, id];
}

/** Colours of events. An event keeps its colour while other events come and go. */
export class Colours {
  #known = new Map();

  /** Returns a colour for each of at most six IDs. */
  of(ids) {
    const free = new Set(Array.from({ length: LARGEST }, (_, n) => n));
    const found = new Map();
    for (const id of ids) if (free.delete(this.#known.get(id))) found.set(id, this.#known.get(id));
    for (const id of ids.filter((each) => !found.has(each))) {
      const [colour] = free;
      free.delete(colour);
      found.set(id, colour);
    }
    for (const [id, colour] of found) this.#known.set(id, colour);
    return found;
  }
}
