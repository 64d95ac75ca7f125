// All parameters and a metric side by side, an axis each: a line for each combination, in its metric's colour.

import { svg } from "./dom.js";
import { closest, placeMark, pointClass } from "./plot.js";
import { axis, clipped } from "./scales.js";

const [HEIGHT, TOP, BOTTOM, LEFT, RIGHT, APART, NEAR] = [280, 34, 14, 70, 70, 100, 14]; // pixels

/**
 * Return the drawing.
 *
 * @param points {parameters, y, strength, matches, best, title}[]: parameters are text, y is the metric; see scatter()
 * @returns {element, nearest(x, y): a point or null, outline(point or null)}
 */
export function parallel(points, { names, y: metric, width: room }) {
  const titles = [...names, metric];
  const width = Math.max(room, LEFT + RIGHT + APART * (titles.length - 1));
  const apart = (width - LEFT - RIGHT) / (titles.length - 1);
  const values = (point) => [...point.parameters, point.y];
  const axisOf = (_, at) => {
    const column = points.map((point) => values(point)[at]);
    return axis(column, HEIGHT - BOTTOM, TOP, Math.floor(apart / 7) - 1);
  };
  const axes = titles.map(axisOf);
  const tops = new Map(points.map((point) => [point, values(point).map((value, at) => axes[at].at(value))]));
  const path = (point) => {
    const corners = tops.get(point).map((top, at) => `${(LEFT + at * apart).toFixed(1)} ${top.toFixed(1)}`);
    return `M${corners.join("L")}`;
  };
  const line = (point) =>
    svg("path", { d: path(point), class: pointClass(point), style: `--strength: ${point.strength}` });
  // The best ones come last, so that they lie above the others.
  const order = points.toSorted((one, other) => one.matches - other.matches || one.strength - other.strength);
  const mark = svg("path", { class: "mark" });
  const label = `${metric} and all parameters as parallel coordinates; the table has the numbers`;
  const element = svg(
    "svg",
    { width, height: HEIGHT, role: "img", "aria-label": label },
    ...order.map(line),
    ...titles.flatMap((title, at) => drawAxis(axes[at], title, LEFT + at * apart, apart)),
    mark,
  );
  const nearest = (left, top) => closestLine(points, tops, (left - LEFT) / apart, top);
  return { element, nearest, outline: (point) => placeMark(mark, point && { d: path(point) }) };
}

function drawAxis({ marks, kind }, title, left, apart) {
  const about = svg("title", {}, `${title} (${kind === "names" ? "by name" : kind})`);
  return [
    svg("line", { class: "axis", x1: left, x2: left, y1: TOP, y2: HEIGHT - BOTTOM }),
    svg(
      "text",
      { class: "title", x: left, y: 16, "text-anchor": "middle" },
      about,
      clipped(title, Math.floor(apart / 8)),
    ),
    ...marks.map(({ at: top, text }) => svg("text", { class: "mark-text", x: left + 6, y: top + 4 }, text)),
  ];
}

/** Return the point whose line is nearest to a place, given in axes from the left and pixels from the top. */
function closestLine(points, tops, across, top) {
  const axes = tops.values().next().value.length;
  const at = Math.min(axes - 2, Math.max(0, Math.floor(across)));
  const part = across - at;
  if (part < -0.1 || part > 1.1) return null;
  const height = (point) => tops.get(point)[at] * (1 - part) + tops.get(point)[at + 1] * part;
  return closest(points, (point) => Math.abs(height(point) - top), NEAR);
}
