// All parameters and a metric side by side, an axis each: a line for each combination, in its metric's colour.

import { svg } from "./dom.js";
import { closest, look, outlined } from "./plot.js";
import { axis, clipped } from "./scales.js";

const [HEIGHT, TOP, BOTTOM, LEFT, RIGHT, APART, NEAR] = [280, 34, 14, 70, 70, 100, 14]; // pixels

/**
 * Return the drawing.
 *
 * @param points {parameters, y, strength, kept, best, title}[]: parameters are text, y is the metric
 * @returns {element, nearest(x, y): a point or null, outline(point or null)}
 */
export function parallel(points, { names, y: metric, width: room }) {
  const titles = [...names, metric];
  const width = Math.max(room, LEFT + RIGHT + APART * (titles.length - 1));
  const apart = (width - LEFT - RIGHT) / (titles.length - 1);
  const values = (point) => [...point.parameters, point.y];
  const axes = titles.map((_, at) => axis(points.map((point) => values(point)[at]), HEIGHT - BOTTOM, TOP, Math.floor(apart / 7) - 1));
  const places = new Map(points.map((point) => [point, values(point).map((value, at) => axes[at].at(value))]));
  const path = (point) => `M${places.get(point).map((top, at) => `${(LEFT + at * apart).toFixed(1)} ${top.toFixed(1)}`).join("L")}`;
  const element = svg("svg", { width, height: HEIGHT, role: "img", "aria-label": `${metric} and all parameters as parallel coordinates; the table has the numbers` });
  // The best ones last, so that they lie above the others.
  const order = points.toSorted((one, other) => one.kept - other.kept || one.strength - other.strength);
  for (const point of order) element.append(svg("path", { d: path(point), class: look(point), style: `--strength: ${point.strength}` }));
  titles.forEach((title, at) => {
    const left = LEFT + at * apart;
    const { marks, kind } = axes[at];
    element.append(svg("line", { class: "axis", x1: left, x2: left, y1: TOP, y2: HEIGHT - BOTTOM }));
    element.append(svg("text", { class: "title", x: left, y: 16, "text-anchor": "middle" }, svg("title", {}, `${title} (${kind === "names" ? "by name" : kind})`), clipped(title, Math.floor(apart / 8))));
    for (const { at: top, text } of marks) element.append(svg("text", { class: "mark-text", x: left + 6, y: top + 4 }, text));
  });
  const mark = svg("path", { class: "mark" });
  element.append(mark);
  const nearest = (left, top) => {
    const at = Math.min(titles.length - 2, Math.max(0, Math.floor((left - LEFT) / apart)));
    const part = (left - LEFT) / apart - at;
    if (part < -0.1 || part > 1.1) return null;
    const height = (point) => places.get(point)[at] * (1 - part) + places.get(point)[at + 1] * part;
    return closest(points, (point) => Math.abs(height(point) - top), NEAR);
  };
  return { element, nearest, outline: (point) => outlined(mark, point && { d: path(point) }) };
}
