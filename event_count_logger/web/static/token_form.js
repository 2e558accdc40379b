/** Asks for the token of a server that wants one, and keeps it for as long as this tab is open. */

const KEY = "ecl-token";

/** The token that was given, or null. */
export function token() {
  return sessionStorage.getItem(KEY);
}

/** A dialog with a form of one field. */
export class TokenForm {
  #dialog;
  #field;
  #message;

  /** `given()` is called when there is a new token. */
  constructor(dialog, given) {
    this.#dialog = dialog;
    this.#field = dialog.querySelector("input");
    this.#message = dialog.querySelector("[role=alert]");
    dialog.addEventListener("cancel", (event) => event.preventDefault()); // there is nothing to see behind it
    dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, this.#field.value.trim());
      given();
    });
  }

  /** Asks; says so if there was a token that the server did not take. */
  ask() {
    this.#message.textContent = token() ? "The server does not accept this token." : "";
    if (this.#dialog.open) return;
    this.#dialog.showModal();
    this.#field.focus();
  }

  close() {
    this.#field.value = "";
    if (this.#dialog.open) this.#dialog.close();
  }
}
