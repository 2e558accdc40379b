/** Keeps the order of rows while the user is about to click one of them. */

/** Milliseconds after the last movement or key for which the order is kept. */
const HOLD_MS = 5000;
const ACTIONS = ["pointermove", "pointerdown", "touchmove", "wheel", "keydown", "focusin"];

/** The order of rows in sections, {id, title, names}. */
export class OrderHold {
  /** True if the shown order is an earlier one. */
  isHeld = false;
  #shown = null;
  #actedAt = -Infinity;

  /** `root` contains the rows. */
  constructor(root) {
    const act = () => (this.#actedAt = performance.now());
    for (const name of ACTIONS) root.addEventListener(name, act, { passive: true });
    root.addEventListener("pointerleave", () => this.release());
  }

  /** Lets the next rows have their newest order. */
  release() {
    this.#actedAt = -Infinity;
  }

  /** Returns the sections to show: the newest ones, or those shown before while the user acts in them. */
  arrange(newest) {
    const isActing = this.#shown !== null && performance.now() - this.#actedAt < HOLD_MS;
    const shown = isActing ? kept(this.#shown, newest) : newest;
    this.isHeld = isActing && JSON.stringify(shown) !== JSON.stringify(newest);
    this.#shown = shown;
    return shown;
  }
}

/** Returns the shown sections with their old order, without groups that are gone, and with new ones at the end. */
export function kept(shown, newest) {
  const present = new Set(newest.flatMap(({ names }) => names));
  const old = shown.map((section) => ({ ...section, names: section.names.filter((name) => present.has(name)) }));
  for (const name of old.flatMap(({ names }) => names)) present.delete(name);
  const last = old.at(-1);
  if (!last) return newest;
  return [...old.slice(0, -1), { ...last, names: [...last.names, ...present] }].filter(({ names }) => names.length);
}
