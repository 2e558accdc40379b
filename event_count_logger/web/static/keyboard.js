/** Keyboard shortcuts of the page. */

const STEPS = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };

/**
 * Listens to keys: `/` focuses the filter, Escape clears selection and filter, arrow keys move the selection.
 *
 * @param filter input element of the filter.
 * @param table the table element.
 * @param walks called with the number of rows to move, negative for up.
 * @param clears called without arguments.
 */
export function listenToKeys({ filter, table, walks, clears }) {
  document.addEventListener("keydown", (event) => {
    if (!filter.checkVisibility()) return; // another view is shown
    if (event.key === "/" && !isWriting(event)) {
      event.preventDefault();
      filter.focus();
    } else if (event.key === "Escape" && !event.target.closest("dialog")) clears();
  });
  filter.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") {
      event.preventDefault();
      table.focus({ preventScroll: true });
      walks(0);
    }
  });
  table.addEventListener("keydown", (event) => {
    const steps = event.target === table && STEPS[event.key];
    if (!steps) return;
    event.preventDefault();
    walks(steps);
  });
}

/** Returns true if a key belongs to a text field, or is part of a shortcut of the browser. */
export function isWriting({ target, ctrlKey, metaKey, altKey }) {
  return ctrlKey || metaKey || altKey || target.matches("input, textarea, select");
}
