/** The switches of the chart: its kind, the axis, and which events are drawn. */

import { kindOf } from "./chart_plan.js";
import { setAttribute } from "./dom.js";

/** Shows the state of the buttons and the list in `root`, and calls `changes(partOfRoute)`. */
export class Tools {
  #root;
  #state = { chart: "stacked", log: false, pick: "size" };

  constructor(root, changes) {
    this.#root = root;
    root.addEventListener("click", ({ target }) => {
      const { value } = target.closest("button") ?? {};
      if (value === "log") changes(toggledLog(this.#state));
      else if (value) changes(value === "stacked" ? { chart: value, log: false } : { chart: value });
    });
    root.querySelector("select").addEventListener("change", ({ target }) => changes({ pick: target.value }));
  }

  show({ chart, log, pick, rows, selected }) {
    this.#state = { chart, log, pick };
    const kind = kindOf(this.#state);
    for (const button of this.#root.querySelectorAll("button")) {
      const isPressed = button.value === "log" ? log && kind === "lines" : button.value === kind;
      setAttribute(button, "aria-pressed", isPressed);
      if (button.value === "log") button.disabled = kind === "share";
    }
    const select = this.#root.querySelector("select");
    if (select.value !== pick) select.value = pick;
    select.hidden = rows.length <= 6 || selected !== null;
  }
}

/** Returns the change of the route after a click on the switch of the axis. Stacked bars become lines. */
export function toggledLog({ chart, log }) {
  if (log) return { log: false };
  return chart === "stacked" ? { chart: "lines", log: true } : { log: true };
}
