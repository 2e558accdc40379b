/** Light or dark theme: the setting of the system, unless the user has chosen one. The browser stores the choice. */

const KEY = "ecl-theme";
const THEMES = ["system", "light", "dark"];

const root = document.documentElement;
apply(localStorage.getItem(KEY));

/** Lets a button switch to the next theme. */
export function switchThemes(button) {
  name(button);
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
    localStorage.setItem(KEY, next);
    apply(next);
    name(button);
  });
}

function apply(theme) {
  root.dataset.theme = THEMES.includes(theme) ? theme : "system";
}

function name(button) {
  const text = `Colours: ${root.dataset.theme}`;
  button.setAttribute("aria-label", text);
  button.title = text;
}
