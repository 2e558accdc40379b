/** The chart of a group view: which rows, lines and marks it draws. */

import { limitsOf } from "./alerts.js";
import { Annotations } from "./annotations.js";
import { Chart } from "./chart.js";
import { ComparedLine, titleOf } from "./comparison.js";
import { queryOf } from "./range.js";

/** Draws when something has changed. */
export class ChartPart {
  #root;
  #chart;
  #line;
  #annotations;
  #drawn = "";

  /**
   * `zooms(since, until)` is called with a part of the chart, `changes(part)` with a part of the route, and `redraws()`
   * when more is known.
   */
  constructor(api, root, { zooms, changes, redraws }) {
    this.#root = root;
    this.#chart = new Chart(root, { zooms, changes });
    this.#line = new ComparedLine(api, redraws);
    this.#annotations = new Annotations(api, redraws);
  }

  /**
   * Draws the rows, and returns the counts that they are compared with, for each span; null without any.
   *
   * @param shown {figures, route, rows, sums, selected, alerts, now}.
   */
  show({ figures, route, rows, sums, selected, alerts, now }) {
    const { scope, spans, bounds, begin, loaded, compare, answer } = figures;
    const event = route.event ?? selected;
    const limits = limitsOf(alerts, { group: scope.group, interval: scope.interval, selected: event, filter: route.filter });
    const compared = this.#compared(figures, { filter: event === null ? route.filter : "", event }, sums);
    const annotations = this.#annotations.of(figures);
    const { chart, log, pick, hide } = route;
    const options = { limits, compared, annotations, chart, log, pick, hide, selected: route.event === null ? selected : null };
    const extent = [scope.key, figures.version, figures.isWhole, figures.periodBefore?.end, route.filter, route.event];
    const drawn = JSON.stringify([extent, options]);
    this.#root.hidden = spans.length === 0;
    if (drawn === this.#drawn) return compared;
    this.#drawn = drawn;
    this.#chart.show({
      ...options,
      spans,
      length_s: loaded.step_s ?? scope.length_s,
      now,
      rows,
      sums: sumsOfSpans(figures, route),
      n_events: figures.n_events,
      comparedLabel: compare && titleOf(compare, figures.isRange),
      unit: answer.unit,
      ...bounds,
      begin,
    });
    return compared;
  }

  /** Returns the chart as a PNG. */
  png(title) {
    return this.#chart.png(title);
  }

  clear() {
    this.#drawn = "";
    this.#line.clear();
    this.#annotations.clear();
  }

  #compared(figures, match, sums) {
    const found = this.#line.of(figures, queryOf(figures.scope, figures.n_events), match);
    if (found === null) return null;
    this.#line.extend(figures, match.event === null ? sums.before : figures.row(match.event)?.before);
    return this.#line.of(figures, {}, match);
  }
}

/** Returns the sum of all rows for each span, if the rows are not all of them. */
function sumsOfSpans({ isWhole, rows, n_events, filter, loaded }, route) {
  const isComplete = isWhole && rows.length >= n_events;
  return isComplete || route.event !== null || route.filter !== filter ? null : loaded.sums.history;
}
