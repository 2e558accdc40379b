/** A PNG of the chart with its title, its range and its legend, in the current theme. */

import { svg } from "./dom.js";

/** Pixels of the picture per unit of the chart, and of the widest picture. */
const SCALE = 2;
const WIDEST = 8000;
const PADDING = 20;
const TITLE = 58;
const ROW = 22;
/** Computed styles that become attributes, because a picture has no style sheet. */
const STYLES = [
  ...["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "stroke-linejoin"],
  ...["stroke-linecap", "paint-order", "opacity", "font-size", "font-weight", "visibility"],
];

/**
 * Returns a promise of a PNG.
 *
 * @param chart the svg of the chart; `entries`: {label, sample: svg} of the legend; `title`, `range`: texts; `marks`: of annotations.
 */
export async function pictureOf(chart, { title, range, entries, marks }) {
  const { width, height } = chart.viewBox.baseVal;
  const style = getComputedStyle(chart);
  const probe = colourProbe(chart);
  const signs = marks.map(({ x, y, mark, colour }) =>
    svg("text", { x, y, fill: colour, "font-size": 12, "text-anchor": "middle" }, mark),
  );
  const rows = legendRows(entries, width, style);
  const size = [width + 2 * PADDING, TITLE + height + ROW * (rows.at(-1)?.row + 1 || 0) + 2 * PADDING];
  const place = { width: size[0], height: size[1], viewBox: `0 0 ${size[0]} ${size[1]}` };
  const root = svg("svg", { ...place, "font-family": style.fontFamily });
  root.append(
    svg("rect", { width: size[0], height: size[1], fill: probe("--surface") }),
    svg("text", { x: PADDING, y: PADDING + 16, fill: probe("--ink"), "font-size": 18, "font-weight": 600 }, title),
    svg("text", { x: PADDING, y: PADDING + 38, fill: probe("--muted"), "font-size": 13 }, range),
    svg("g", { transform: `translate(${PADDING} ${PADDING + TITLE - 8})` }, ...[...chart.children].map(styledCopy), ...signs),
    ...rows.map((each) => legendEntry(each, PADDING + TITLE + height + 4, probe("--ink"))),
  );
  return await painted(root, size);
}

/** Returns a function that resolves a colour of the style sheet. */
function colourProbe(chart) {
  return (name) => {
    const node = chart.appendChild(svg("rect"));
    node.style.fill = `var(${name})`;
    const { fill } = getComputedStyle(node);
    node.remove();
    return fill;
  };
}

/** Returns a copy of an element whose styles are attributes. */
function styledCopy(node) {
  const copy = node.cloneNode(true);
  const originals = [node, ...node.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((each, n) => {
    const style = getComputedStyle(originals[n]);
    for (const name of STYLES) each.setAttribute(name, style.getPropertyValue(name));
    each.removeAttribute("class");
  });
  return copy;
}

/** Returns the entries with their places in rows: {label, sample, x, row}. */
function legendRows(entries, width, { fontFamily }) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = `13px ${fontFamily}`;
  let [x, row] = [0, 0];
  return entries.map(({ label, sample }) => {
    const room = 24 + context.measureText(label).width + 22;
    if (x > 0 && x + room > width) [x, row] = [0, row + 1];
    const place = { label, sample, x, row };
    x += room;
    return place;
  });
}

function legendEntry({ label, sample, x, row }, top, fill) {
  const [left, y] = [PADDING + x, top + row * ROW];
  const shape = svg("g", { transform: `translate(${left} ${y + 3})` }, ...[...sample.children].map(styledCopy));
  return svg("g", {}, shape, svg("text", { x: left + 24, y: y + 13, fill, "font-size": 13 }, label));
}

/** Draws an svg into a PNG. The security policy allows images from `data:` addresses. */
async function painted(root, [width, height]) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(root))}`;
  await image.decode();
  const scale = Math.min(SCALE, WIDEST / width);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return await new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the browser made no picture"))), "image/png"),
  );
}
