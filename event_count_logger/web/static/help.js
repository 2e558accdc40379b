/** The dialog with all keys, and the keys that every view has. */

import { isWriting } from "./keyboard.js";

/**
 * Opens the dialog by its button or `?`, and returns to the overview by `g` or Backspace.
 *
 * @param dialog the dialog; a click beside it closes it.
 * @param button opens it.
 * @param search input element of the search over all groups, focused by `s`.
 * @param returns called to show the overview.
 */
export function listenEverywhere({ dialog, button, search, returns }) {
  const open = () => !document.querySelector("dialog[open]") && dialog.showModal();
  button.addEventListener("click", open);
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  const actions = { "?": open, g: returns, Backspace: returns, s: () => search.focus() };
  document.addEventListener("keydown", (event) => {
    const action = Object.hasOwn(actions, event.key) ? actions[event.key] : null;
    if (!action || isWriting(event) || event.target.closest("dialog")) return;
    event.preventDefault();
    action();
  });
}
