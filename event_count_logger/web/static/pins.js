/** Pinned groups. The browser keeps them. */

const KEY = "ecl-pins";

/** The names of pinned groups, in the order in which they were pinned. */
export class Pins {
  #names = stored();

  /** Returns true if a group is pinned. */
  has(name) {
    return this.#names.includes(name);
  }

  /** Pins a group, or unpins a pinned one. Other tabs may have changed the pins meanwhile. */
  toggle(name) {
    const names = stored();
    this.#names = names.includes(name) ? names.filter((each) => each !== name) : [...names, name];
    localStorage.setItem(KEY, JSON.stringify(this.#names));
  }

  /** Calls a function when another tab changes the pins. */
  listen(changed) {
    addEventListener("storage", ({ key }) => {
      if (key !== KEY) return;
      this.#names = stored();
      changed();
    });
  }
}

function stored() {
  try {
    const names = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
  } catch {
    return []; // written by something else
  }
}
