/** The controls of the range of time, and of the comparison. They are links, so that the back button undoes them. */

import { element, setAttribute, setText } from "./dom.js";
import { formatDuration } from "./format.js";
import { fromInput, toInput, zoneOf } from "./local_time.js";
import { comparisonOf, COMPARISONS, isLive, RANGES } from "./range.js";
import { formatRoute } from "./route.js";

const LIVE = { range: null, since: null, until: null };

/** Shows the range and the comparison of the route. */
export class RangeControls {
  #links;
  #dates;
  #compare;
  #changes;
  #shown = "";
  #period = null; // {from, to} of the figures

  /** `changes(part)` is called with the new part of the route. */
  constructor(root, changes) {
    this.#changes = changes;
    this.#links = root.querySelector("#ranges");
    this.#dates = root.querySelector("#dates");
    this.#compare = root.querySelector("#compare");
    this.#compare.addEventListener("change", () => changes({ compare: this.#compare.value || null }));
    this.#dates.addEventListener("toggle", () => this.#dates.open && this.#fill());
    this.#dates.querySelector("form").addEventListener("submit", (event) => this.#submit(event));
  }

  /** Shows the range of the route. `scope`: see `scopeOf`. */
  show(scope, route) {
    const shown = JSON.stringify([scope.key, route]);
    if (shown === this.#shown) return;
    if (JSON.parse(this.#shown || "[null]")[0] !== scope.key) this.#period = null;
    this.#shown = shown;
    this.#links.replaceChildren(...choicesOf(scope, route).map((choice) => linkOf(choice, route)));
    const isPeriod = route.since !== null;
    this.#dates.classList.toggle("current", isPeriod);
    this.#compare.replaceChildren(...optionsOf(scope));
    this.#compare.value = scope.compare ?? "";
  }

  /** Takes the period of the figures, which the fields of a period of one's own begin with. */
  set period(period) {
    this.#period = period;
  }

  #fill() {
    const [since, until] = this.#fields();
    if (this.#period) [since.value, until.value] = [toInput(this.#period.from), toInput(this.#period.to)];
    setText(this.#dates.querySelector(".zone"), `Times of ${zoneOf(this.#period?.to ?? Date.now() / 1000)}`);
    setText(this.#dates.querySelector("[role=alert]"), "");
    since.focus();
  }

  #submit(event) {
    event.preventDefault();
    const [since, until] = this.#fields().map(({ value }) => fromInput(value));
    const alert = this.#dates.querySelector("[role=alert]");
    if (!(since < until)) return setText(alert, "The end must be after the start.");
    this.#dates.open = false;
    this.#dates.querySelector("summary").focus();
    return this.#changes({ range: null, since, until });
  }

  #fields() {
    return [...this.#dates.querySelectorAll("input")];
  }
}

/** Returns the ranges that have at least two intervals, and the live view. */
function choicesOf(scope, route) {
  const n = Math.min(scope.kept, 60);
  const live = { text: "Live", title: `The last ${n} intervals`, part: LIVE, isCurrent: isLive(route) };
  const ranges = RANGES.filter(({ length_s, name }) => length_s >= 2 * scope.length_s || name === route.range);
  return [live, ...ranges.map(({ name, text, title }) => ({ text, title, part: { ...LIVE, range: name }, isCurrent: route.range === name }))];
}

function linkOf({ text, title, part, isCurrent }, route) {
  const href = formatRoute({ ...route, ...part });
  const link = element("a", { href, title, "aria-label": title, "aria-current": isCurrent ? "true" : null }, text);
  return element("li", {}, link);
}

function optionsOf(scope) {
  const isRange = !isLive(scope);
  const byDefault = comparisonOf({ ...scope, compare: null });
  const names = { ...Object.fromEntries(Object.keys(COMPARISONS).map((name) => [name, nameOf(name, isRange)])), none: "nothing" };
  const automatic = byDefault === null ? "nothing" : nameOf(byDefault, isRange);
  const options = [["", `auto: ${automatic}`], ...Object.entries(names)];
  return options.map(([value, text]) => element("option", { value }, text));
}

function nameOf(name, isRange) {
  return isRange && name === "interval" ? "range before" : COMPARISONS[name].text;
}

/** Shows the length of a bar, and history that the range lacks. */
export function showExtent(root, step_s, gaps) {
  setText(root.querySelector(".step"), step_s === null ? "" : `bars of ${formatDuration(step_s)}`);
  const note = root.querySelector(".gaps");
  setText(note, gaps);
  setAttribute(note, "hidden", gaps ? null : "");
}
