// A metric over the steps, a line for each combination. The table beside it has the last values as text.

import { svg } from "./dom.js";
import {
  BOTTOM,
  closest,
  EDGE,
  HEIGHT,
  horizontalLine,
  LEFT,
  NEAR,
  placeMark,
  pointClass,
  verticalLine,
} from "./plot.js";
import { axis, range } from "./scales.js";

/**
 * Return the drawing.
 *
 * @param points {steps, values, strength, matches, best, title}[]: steps rise; see scatter()
 * @param options {y: the metric's name, width, isLog}
 * @returns {element, nearest(x, y): a point or null, outline(point or null)}
 */
export function curves(points, { y: yName, width, isLog }) {
  const x = axis(ends(points, "steps"), LEFT, width - EDGE, 14, "linear");
  const y = axis(ends(points, "values"), HEIGHT - BOTTOM, EDGE, 14, isLog ? "log" : "linear");
  const corners = ({ steps, values }) => [steps.map(x.at), values.map(y.at)];
  const places = new Map(points.map((point) => [point, corners(point)]));
  const line = (point) =>
    svg("path", {
      d: path(places.get(point)),
      class: pointClass(point),
      style: `--strength: ${point.strength}`,
    });
  // The best ones come last, so that they lie above the others.
  const order = points.toSorted((one, other) => one.matches - other.matches || one.strength - other.strength);
  const mark = svg("path", { class: "mark" });
  const size = { width, height: HEIGHT };
  const label = `${yName} over the steps; the table has the last values`;
  const lines = svg(
    "svg",
    { ...size, role: "img", "aria-label": label },
    ...x.marks.flatMap(verticalLine),
    ...y.marks.flatMap((each) => horizontalLine(each, width)),
    ...order.map(line),
  );
  // The outline has a drawing of its own: the browser need not draw a thousand lines again when it moves.
  const element = document.createElement("div");
  element.className = "layers";
  element.append(lines, svg("svg", { ...size, "aria-hidden": "true" }, mark));
  const nearest = (left, top) => closest(points, (point) => Math.abs(heightAt(places.get(point), left) - top), NEAR);
  return { element, nearest, outline: (point) => placeMark(mark, point && { d: path(places.get(point)) }) };
}

const ends = (points, name) => range(points.flatMap((point) => range(point[name])));

/** Return a line; of a single step, a dot. */
const path = ([lefts, tops]) =>
  `M${lefts.map((left, at) => `${left.toFixed(1)} ${tops[at].toFixed(1)}`).join("L")}h.01`;

/** Return how high a line is at a place; Infinity beside it. */
function heightAt([lefts, tops], left) {
  const last = lefts.length - 1;
  if (left < lefts[0] - NEAR || left > lefts[last] + NEAR) return Infinity;
  let [low, high] = [0, last];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (lefts[middle] <= left) low = middle;
    else high = middle;
  }
  const part = lefts[high] === lefts[low] ? 0 : (left - lefts[low]) / (lefts[high] - lefts[low]);
  return tops[low] + (tops[high] - tops[low]) * Math.min(1, Math.max(0, part));
}
