/** The form for the token of a server that requires one. The browser keeps the token until the tab is closed. */

const KEY = "ecl-token";

/** Returns the stored token, or null. */
export function token() {
  return sessionStorage.getItem(KEY);
}

/** A dialog with a form of one field. */
export class TokenForm {
  #dialog;
  #field;
  #message;

  /** `given()` is called after a token was entered. */
  constructor(dialog, given) {
    this.#dialog = dialog;
    this.#field = dialog.querySelector("input");
    this.#message = dialog.querySelector("[role=alert]");
    // Escape does not close the form: the page is empty without a token.
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, this.#field.value.trim());
      given();
    });
  }

  /** Opens the form; with an error message if the server rejected a token. */
  ask() {
    this.#message.textContent = token() ? "The server rejected this token." : "";
    if (this.#dialog.open) return;
    this.#dialog.showModal();
    this.#field.focus();
  }

  close() {
    this.#field.value = "";
    if (this.#dialog.open) this.#dialog.close();
  }
}
