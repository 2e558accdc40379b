/** Keys of the overview: rows by arrows or j and k, pins by p, the search by /. */

import { isWriting } from "./keyboard.js";

const STEPS = {
  ArrowUp: -1, ArrowDown: 1, k: -1, j: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity,
};

/**
 * Listens to keys while the overview is shown.
 *
 * @param root the overview; its rows have a link of class `open`.
 * @param search the input element of the search.
 * @param pins called with the name of the focused group.
 * @param clears called to clear the search.
 */
export function listenInOverview({ root, search, pins, clears }) {
  const links = () => [...root.querySelectorAll("a.open")];
  document.addEventListener("keydown", (event) => {
    if (root.hidden || document.querySelector("dialog[open]")) return;
    const isInSearch = event.target === search;
    if (event.key === "Escape") leave(search, clears, isInSearch);
    else if (isInSearch) fromSearch(event, links()[0]);
    else if (!isWriting(event)) act(event, { links, search, pins });
  });
  root.addEventListener("focusin", ({ target }) => offerPin(root, target));
}

function leave(search, clears, isInSearch) {
  if (search.value === "" && isInSearch) search.blur();
  clears();
}

function fromSearch(event, first) {
  if (!first || (event.key !== "ArrowDown" && event.key !== "Enter")) return;
  event.preventDefault();
  if (event.key === "Enter") first.click();
  else first.focus();
}

function act(event, { links, search, pins }) {
  const steps = STEPS[event.key];
  if (event.key === "p") {
    const name = event.target.closest("[data-group]")?.dataset.group;
    if (name) pins(name);
  } else if (event.key === "/") {
    event.preventDefault();
    search.focus();
  } else if (steps) {
    event.preventDefault();
    walk(links(), steps, search);
  }
}

function walk(links, steps, search) {
  const at = links.indexOf(document.activeElement.closest(".row")?.querySelector("a.open"));
  if (at === 0 && steps === -1) search.focus();
  else links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + steps))]?.focus();
}

/** Lets Tab reach the pin of the focused row only, so that it does not stop twice at each row. */
function offerPin(root, target) {
  const pin = target.closest(".row")?.querySelector(".pin");
  for (const other of root.querySelectorAll('.pin[tabindex="0"]')) if (other !== pin) other.tabIndex = -1;
  if (pin) pin.tabIndex = 0;
}
