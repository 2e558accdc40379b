/** The title of the tab: the number of groups with a problem, and the name of what is shown. */

let name = document.title;
let nProblems = 0;

/** Names what is shown. */
export function nameTab(text) {
  name = text;
  show();
}

/** Returns the name of what is shown. */
export function tabName() {
  return name;
}

/** Shows the number of groups with a problem. In a tab in the background it is that of the time when it was hidden. */
export function countProblems(n) {
  nProblems = n;
  show();
}

function show() {
  const title = nProblems ? `(${nProblems}) ${name}` : name;
  if (document.title !== title) document.title = title;
}
