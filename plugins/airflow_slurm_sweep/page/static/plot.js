// A metric against a parameter, a point for each combination. The table beside it has the same as text.

import { svg } from "./dom.js";
import { axis } from "./scales.js";

export const [HEIGHT, LEFT, BOTTOM, EDGE, NEAR] = [260, 70, 30, 12, 16]; // pixels

/**
 * Return the drawing.
 *
 * @param points {x, y, strength, matches, best, title}[]: x is text, y a number; matches: whether the filter leaves it
 * @param line [x, y][], to draw through
 * @param kind of the axis of x, as kindOf() returns it; by default that
 * @returns {element, nearest(x, y): a point or null, outline(point or null)}
 */
export function scatter(points, { x: xName, y: yName, width, line = [], kind }) {
  const values = (name) => points.map((point) => point[name]);
  const x = axis(values("x"), LEFT, width - EDGE, undefined, kind);
  const y = axis(values("y"), HEIGHT - BOTTOM, EDGE);
  const label = `${yName} against ${xName}; the table has the numbers`;
  const place = (point) => ({ cx: x.at(point.x), cy: y.at(point.y) });
  const circle = (point) =>
    svg(
      "circle",
      { ...place(point), r: point.best ? 6 : 4, class: pointClass(point), style: `--strength: ${point.strength}` },
      svg("title", {}, point.title),
    );
  const corner = ([left, top], at) => `${at ? "L" : "M"}${x.at(left).toFixed(1)} ${y.at(top).toFixed(1)}`;
  const mark = svg("circle", { class: "mark", r: 7 });
  const element = svg(
    "svg",
    { width, height: HEIGHT, role: "img", "aria-label": label },
    ...x.marks.flatMap(verticalLine),
    ...y.marks.flatMap((each) => horizontalLine(each, width)),
    svg("path", { class: "so-far", d: line.map(corner).join("") }),
    ...points.map(circle),
    mark,
  );
  const nearest = (left, top) =>
    closest(points, (point) => Math.hypot(x.at(point.x) - left, y.at(point.y) - top), NEAR);
  return { element, nearest, outline: (point) => placeMark(mark, point && place(point)) };
}

/** Return the line and the text of a mark below a drawing. */
export const verticalLine = ({ at, text }) => [
  svg("line", { x1: at, x2: at, y1: EDGE, y2: HEIGHT - BOTTOM }),
  svg("text", { x: at, y: HEIGHT - 10, "text-anchor": "middle" }, text),
];

/** Return those of a mark on its left. */
export const horizontalLine = ({ at, text }, width) => [
  svg("line", { x1: LEFT, x2: width - EDGE, y1: at, y2: at }),
  svg("text", { x: LEFT - 8, y: at + 4, "text-anchor": "end" }, text),
];

/** Return the class of what is drawn for a combination. */
export const pointClass = (point) => `value${point.matches ? "" : " faint"}${point.best ? " best" : ""}`;

/** Return the point with the least distance, if that is less than a limit, among those that the filter leaves. */
export function closest(points, distance, limit) {
  let [nearest, least] = [null, limit];
  for (const point of points) {
    if (!point.matches) continue;
    const away = distance(point);
    if (away < least) [nearest, least] = [point, away];
  }
  return nearest;
}

/** Show the mark with these attributes, or hide it. */
export function placeMark(mark, attributes) {
  mark.classList.toggle("shown", Boolean(attributes));
  for (const [name, value] of Object.entries(attributes || {})) mark.setAttribute(name, value);
}
