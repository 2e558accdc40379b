/** The keys of the page. */

const STEPS = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };

/**
 * `/` goes to the filter, Escape clears it and the selection, arrow keys walk through the table.
 *
 * @param filter the filter's field, `table` the table's element.
 * @param walks is called with a number of rows, `clears` without anything.
 */
export function listenToKeys({ filter, table, walks, clears }) {
  document.addEventListener("keydown", (event) => {
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

function isWriting({ target, ctrlKey, metaKey, altKey }) {
  return ctrlKey || metaKey || altKey || target.matches("input, textarea, select");
}
