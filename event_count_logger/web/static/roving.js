/** One tab stop for a list of buttons: arrow keys move between them. */

const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -Infinity, End: Infinity };

/** Lets arrow keys move the focus between the buttons in `root`, also those that are added later. */
export function rove(root) {
  root.addEventListener("keydown", (event) => {
    const all = [...root.querySelectorAll("button")];
    const at = all.indexOf(event.target);
    if (!(event.key in STEPS) || at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    all[Math.min(all.length - 1, Math.max(0, at + STEPS[event.key]))].focus();
  });
  root.addEventListener("focusin", () => restrict(root));
  new MutationObserver(() => restrict(root)).observe(root, { childList: true, subtree: true });
  restrict(root);
}

/** Makes the focused button the tab stop, or the first one. */
function restrict(root) {
  const all = [...root.querySelectorAll("button")];
  const stop = all.find((each) => each === document.activeElement) ?? all.find((each) => each.tabIndex === 0) ?? all[0];
  for (const each of all) if (each.tabIndex !== (each === stop ? 0 : -1)) each.tabIndex = each === stop ? 0 : -1;
}
