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
 * @param options {y: the metric's name, width, isLog, range: [first, last step] or null for all, band: marks a drag}
 * @returns {element, nearest(x, y): a point or null, outline(point or null), stepAt(x), range: of the steps that are
 *   shown, all: of all steps}
 */
export function curves(points, { y: yName, width, isLog, range: wanted, band }) {
  const all = ends(points, "steps");
  const within = wanted ? points.map((point) => part(point, ...wanted)).filter(Boolean) : [];
  const [range, parts] = within.length ? [wanted, within] : [all, points]; // another metric may have other steps
  const x = axis(range, LEFT, width - EDGE, 14, "linear");
  const y = axis(ends(parts, "values"), HEIGHT - BOTTOM, EDGE, 14, isLog ? "log" : "linear");
  const places = new Map(
    parts.map(({ point, steps, values }, at) => [point ?? points[at], [steps.map(x.at), values.map(y.at)]]),
  );
  const line = (point) =>
    svg("path", {
      d: path(places.get(point)),
      class: pointClass(point),
      style: `--strength: ${point.strength}`,
    });
  // The best ones come last, so that they lie above the others.
  const order = [...places.keys()].toSorted(
    (one, other) => one.matches - other.matches || one.strength - other.strength,
  );
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
  element.append(lines, svg("svg", { ...size, "aria-hidden": "true" }, band, mark));
  const nearest = (left, top) => closest(order, (point) => Math.abs(heightAt(places.get(point), left) - top), NEAR);
  const outline = (point) => placeMark(mark, places.has(point) && { d: path(places.get(point)) });
  return { element, nearest, outline, stepAt: stepAt(x, range), range, all };
}

/** Return what gives the step at a place of the axis, within the range that it shows. */
function stepAt({ at }, [low, high]) {
  const part = (left) => (low === high ? 0 : (left - at(low)) / (at(high) - at(low)));
  return (left) => low + (high - low) * Math.min(1, Math.max(0, part(left)));
}

/** Return the part of a line between two steps, null if there is none; its ends lie on the line. */
function part(point, low, high) {
  const { steps, values } = point;
  const first = steps.findIndex((step) => step >= low);
  const last = steps.findLastIndex((step) => step <= high);
  if (first < 0 || last < 0) return null;
  const found = { point, steps: steps.slice(first, last + 1), values: values.slice(first, last + 1) };
  const valueAt = (step, at) =>
    values[at - 1] + ((values[at] - values[at - 1]) * (step - steps[at - 1])) / (steps[at] - steps[at - 1]);
  if (first > 0 && steps[first] > low) {
    found.steps.unshift(low);
    found.values.unshift(valueAt(low, first));
  }
  if (last < steps.length - 1 && steps[last] < high) {
    found.steps.push(high);
    found.values.push(valueAt(high, last + 1));
  }
  return found;
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
