/** Conditions as badges. A screen reader announces changes of their texts, but not of their details. */

import { element, setText } from "./dom.js";

/** `list` holds the badges; `announcer` is a live region that only screen readers see. */
export class Badges {
  #list;
  #announcer;

  constructor(list, announcer) {
    this.#list = list;
    this.#announcer = announcer;
  }

  show(conditions) {
    const texts = conditions.map(({ text }) => text).join(". ");
    if (texts !== this.#announcer.textContent) {
      setText(this.#announcer, texts);
      this.#list.replaceChildren(...conditions.map(badge));
    }
    conditions.forEach(({ detail }, index) => setText(this.#list.children[index].lastChild, detail));
  }
}

function badge({ kind, text }) {
  return element("li", { class: `badge ${kind}` }, element("strong", {}, text), element("span"));
}
