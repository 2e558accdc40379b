/** The legend: one entry per series, which hides it or shows it alone. */

import { fillOf } from "./chart_shapes.js";
import { sumOf } from "./counts.js";
import { element, setAttribute, setText, svg } from "./dom.js";
import { formatCount, formatShare } from "./format.js";
import { rove } from "./roving.js";
import { COMPARED, onlyOf, OTHERS, picked, toggled } from "./series.js";

/** Draws the entries into a list. */
export class Legend {
  #root;
  #plan = null;
  #changes;

  /**
   * `changes({hide})` and `changes({pick})` are called after a click. `points(id)` is called with the ID of the series
   * under the pointer or with the focus, or null.
   */
  constructor(root, changes, points) {
    this.#root = root;
    this.#changes = changes;
    rove(root);
    root.addEventListener("click", (event) => this.#click(event));
    const idOf = ({ target }) => target.closest("li")?.querySelector(".pick")?.dataset.id ?? null;
    for (const name of ["pointerover", "focusin"]) root.addEventListener(name, (event) => points(idOf(event)));
    for (const name of ["pointerleave", "focusout"]) root.addEventListener(name, () => points(null));
  }

  /** Shows the series of a plan. Equal entries stay, and the focus stays on its button. */
  show(plan, isTextured) {
    this.#plan = plan;
    const focused = document.activeElement?.closest(".legend button")?.dataset;
    const entries = [...entriesOf(plan, isTextured), ...linesOf(plan), ...strikingOf(plan)];
    const isEqual = entries.length === this.#root.children.length;
    if (isEqual && entries.every((each, n) => each.isEqualNode(this.#root.children[n]))) return;
    this.#root.replaceChildren(...entries);
    if (focused) this.#button(focused)?.focus();
  }

  /** Shows the counts of one span, which is the last one by default. */
  read(index) {
    const { series, sum, compared, totals, compared: before, shares } = this.#plan;
    const counts = series.map((each) => each.counts[index] ?? (index in totals ? 0 : null));
    const extra = [...(sum ? [totals[index]] : []), ...(compared ? [roundedAt(before, shares, index)] : [])];
    const cells = this.#root.querySelectorAll("b");
    [...counts, ...extra].forEach((count, n) => setText(cells[n], formatCount(count ?? null)));
  }

  #button({ id, action }) {
    const isSame = ({ dataset }) => dataset.id === id && dataset.action === action;
    return [...this.#root.querySelectorAll("button")].find(isSame);
  }

  #click({ target, ctrlKey, metaKey, shiftKey }) {
    const { id, action } = target.closest("button")?.dataset ?? {};
    const { hide, series } = this.#plan ?? {};
    if (action === "change") this.#changes({ pick: "change" });
    else if (action === "hide" || (id && (ctrlKey || metaKey || shiftKey)))
      this.#changes({ hide: toggled(id, hide, [...series.map((each) => each.id), COMPARED]) });
    else if (id) this.#changes({ hide: picked(id, hide) });
  }
}

function roundedAt(compared, shares, index) {
  const count = compared[index] ?? null;
  return count === null ? null : Math.round(Number(count) / shares[index]);
}

function entriesOf({ series, hide, totals, selected }, isTextured) {
  const whole = Number(sumOf(totals));
  return series.map(({ id, label: name, colour, isHidden, counts }) => {
    const share = id === OTHERS ? ` ${formatShare(Number(sumOf(counts)) / whole)}` : null;
    const swatch = element("span", { class: "swatch_box" }, swatchOf(colour, isTextured));
    const text = element("span", { class: "name", title: name }, name);
    const note = share === null ? [] : [element("small", { title: "share of all events shown" }, share)];
    if (selected !== null || series.length === 1) return element("li", {}, swatch, text, ...note, element("b"));
    const hider = button("hide", id, !isHidden, `Show ${name}`, swatch);
    const picker = button("pick", id, onlyOf(hide) === id, `Show only ${name}`, text, ...note, element("b"));
    return element("li", { class: isHidden ? "hidden_series" : null }, hider, picker);
  });
}

function button(action, id, isPressed, label, ...children) {
  const words = action === "hide" ? { title: label, "aria-label": label } : { "aria-description": label };
  const node = element("button", { type: "button", class: action, "aria-pressed": isPressed, ...words }, ...children);
  Object.assign(node.dataset, { action, id });
  return node;
}

function swatchOf(colour, isTextured) {
  const square = svg("rect", { ...fillOf(colour, isTextured), width: 12, height: 12, rx: 3 });
  return svg("svg", { viewBox: "0 0 12 12", class: "swatch", "aria-hidden": "true" }, square);
}

function linesOf({ sum, compared, canCompare, comparedLabel, borders }) {
  const name = comparedLabel || "before";
  const kind = borders ? "compared_line steps" : "compared_line";
  const sample = button("hide", COMPARED, compared !== null, `Show ${name}`, sampleOf(kind));
  return [
    ...(sum ? [lineEntry(element("span", { class: "swatch_box" }, sampleOf("sum_line")), "Sum", true)] : []),
    ...(canCompare ? [lineEntry(sample, name, compared !== null)] : []),
  ];
}

function sampleOf(name) {
  const line = svg("path", { class: name, d: "M1 6H17" });
  return svg("svg", { viewBox: "0 0 18 12", class: "sample", "aria-hidden": "true" }, line);
}

function lineEntry(sample, label, isShown) {
  const name = element("span", { class: "line_name" }, label);
  return element("li", { class: isShown ? "line_entry" : "line_entry hidden_series" }, sample, name, element("b"));
}

/** Returns a button that chooses the series by change, if an event among the others changed much. */
function strikingOf({ striking }) {
  if (striking === null) return [];
  const node = element("button", { type: "button", class: "striking" }, `${striking} changed most: show`);
  node.dataset.action = "change";
  return [element("li", {}, node)];
}
