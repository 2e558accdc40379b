/** Names of the group, its interval and the event that is shown. */

import { element, setText } from "./dom.js";
import { visible } from "./format.js";
import { formatRoute } from "./route.js";
import { nameTab } from "./tab_title.js";

/** Shows names in `root`. `label` is that of the event of the route, if it is known. */
export function showHeading(root, group, interval, route, label = null) {
  const title = visible(group.title ?? group.name);
  const event = route.event === null ? null : (label ?? visible(route.event));
  nameTab([...(event === null ? [] : [event]), title, interval.name].join(" · "));
  setText(root.querySelector("#title"), event ?? title);
  setText(root.querySelector("#unit"), `${visible(group.unit)} per ${interval.name}${idText(route.event, event)}`);
  showBack(root.querySelector("#back"), title, route);
  showIntervals(root.querySelector("#intervals"), group, interval, route);
}

/** Returns the ID of an event that has another name for people. */
function idText(id, label) {
  return id === null || visible(id) === label ? "" : ` · ${visible(id)}`;
}

function showBack(link, title, route) {
  link.hidden = route.event === null;
  link.href = formatRoute({ ...route, event: null });
  setText(link, `‹ ${title}`);
}

function showIntervals(root, group, interval, route) {
  const links = group.intervals.map(({ name }) => intervalLink(name, name === interval.name, group, route));
  const isSame = links.length === root.children.length && links.every((link, n) => link.isEqualNode(root.children[n]));
  if (!isSame) root.replaceChildren(...links);
  root.hidden = links.length < 2;
}

function intervalLink(name, isCurrent, group, route) {
  const href = formatRoute({ ...route, group: group.name, interval: name });
  return element("a", { href, "aria-current": isCurrent ? "true" : null }, name);
}
