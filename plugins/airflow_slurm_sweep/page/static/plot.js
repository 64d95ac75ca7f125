// A metric against a parameter, a point for each combination. The table beside it has the same as text.

import { svg } from "./dom.js";
import { axis } from "./scales.js";

const [HEIGHT, LEFT, BOTTOM, EDGE, NEAR] = [260, 70, 30, 12, 16]; // pixels

/**
 * Return the drawing.
 *
 * @param points {x, y, strength, kept, best, title}[]: x is text, y a number
 * @returns {element, nearest(x, y): a point or null, outline(point or null)}
 */
export function scatter(points, { x: xName, y: yName, width }) {
  const x = axis(points.map((point) => point.x), LEFT, width - EDGE);
  const y = axis(points.map((point) => point.y), HEIGHT - BOTTOM, EDGE);
  const element = svg("svg", { width, height: HEIGHT, role: "img", "aria-label": `${yName} against ${xName}; the table has the numbers` });
  for (const { at, text } of x.marks) {
    element.append(svg("line", { x1: at, x2: at, y1: EDGE, y2: HEIGHT - BOTTOM }), svg("text", { x: at, y: HEIGHT - 10, "text-anchor": "middle" }, text));
  }
  for (const { at, text } of y.marks) {
    element.append(svg("line", { x1: LEFT, x2: width - EDGE, y1: at, y2: at }), svg("text", { x: LEFT - 8, y: at + 4, "text-anchor": "end" }, text));
  }
  const place = (point) => ({ cx: x.at(point.x), cy: y.at(point.y) });
  for (const point of points) element.append(svg("circle", { ...place(point), r: point.best ? 6 : 4, class: look(point), style: `--strength: ${point.strength}` }, svg("title", {}, point.title)));
  const mark = svg("circle", { class: "mark", r: 7 });
  element.append(mark);
  const nearest = (left, top) => closest(points, (point) => Math.hypot(x.at(point.x) - left, y.at(point.y) - top), NEAR);
  const outline = (point) => outlined(mark, point && place(point));
  return { element, nearest, outline };
}

/** Return the class of what is drawn for a combination. */
export const look = (point) => `value${point.kept ? "" : " faint"}${point.best ? " best" : ""}`;

/** Return the point that is nearest, and not further away than that; those that the filter leaves out are not there. */
export function closest(points, distance, near) {
  let [found, least] = [null, near];
  for (const point of points) {
    if (!point.kept) continue;
    const away = distance(point);
    if (away < least) [found, least] = [point, away];
  }
  return found;
}

/** Give the mark its place, or hide it. */
export function outlined(mark, attributes) {
  mark.classList.toggle("shown", Boolean(attributes));
  for (const [name, value] of Object.entries(attributes || {})) mark.setAttribute(name, value);
}
