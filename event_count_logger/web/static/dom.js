/** Creation and change of elements. Values become text or attributes, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/** Creates an HTML element; `children` are nodes or strings. */
export function element(tag, attributes = {}, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

/** Creates an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, tag), attributes, children);
}

function furnished(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  node.append(...children);
  return node;
}

/** Sets the text of an element if it differs, so that an equal text causes no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute if it differs; null removes it. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Returns the pixels of a `rem` of the style sheets: 10, and more in very wide windows. */
export function remPixels() {
  return parseFloat(getComputedStyle(document.documentElement).fontSize);
}
