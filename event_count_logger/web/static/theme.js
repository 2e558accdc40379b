/** Light or dark: as the system has it, until somebody says otherwise; that is remembered. */

const KEY = "ecl-theme";
const THEMES = ["system", "light", "dark"];

const root = document.documentElement;
apply(localStorage.getItem(KEY));

/** Makes a button that goes from one theme to the next. */
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
