// A metric over two parameters, as a table: its heads are read with its numbers.

import { h, short } from "./dom.js";
import { distinct, range, strength } from "./scales.js";

const MOST = 60; // values of a parameter

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const WAYS = { largest: (values) => Math.max(...values), smallest: (values) => Math.min(...values), mean };

/**
 * Return the table, or the reason why there is none.
 *
 * @param points {parameters, y, matches}[]
 * @param options {x, y: indices of two parameters, names, metric, smallerIsBetter,
 *   way: "largest", "smallest" or "mean"}
 */
export function heatmap(points, options) {
  const { x, y, names, metric } = options;
  const included = points.filter((point) => point.matches);
  if (!included.length) return `No combination that the filter leaves has ${metric}.`;
  const [across, down] = [x, y].map((at) => distinct(included.map((point) => point.parameters[at])));
  for (const [name, { length }] of [
    [names[x], across],
    [names[y], down],
  ]) {
    if (length > MOST) {
      return `${name} has ${length} values, and a heat map room for ${MOST}: choose another parameter, or filter.`;
    }
  }
  const cell = cells(included, options);
  const row = (top) => [h("th", { scope: "row" }, top || "(none)"), ...across.map((left) => cell(left, top))];
  const head = (left) => h("th", { scope: "col" }, left || "(none)");
  return h(
    "table",
    { class: "heat" },
    h("caption", {}, `${metric} over ${names[x]} and ${names[y]}`),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, `${names[y]} \\ ${names[x]}`), ...across.map(head))),
    h("tbody", {}, ...down.map((top) => h("tr", {}, ...row(top)))),
  );
}

const keyOf = (left, top) => JSON.stringify([left, top]);

/** Return what makes a cell of two values. */
function cells(points, { x, y, names, metric, way, smallerIsBetter }) {
  const groups = Map.groupBy(points, (point) => keyOf(point.parameters[x], point.parameters[y]));
  const value = (group) => WAYS[way](group.map((point) => point.y));
  const numbers = new Map([...groups].map(([key, group]) => [key, value(group)]));
  const scale = range([...numbers.values()]);
  return (left, top) => {
    const key = keyOf(left, top);
    const size = groups.get(key)?.length;
    if (!size) return h("td", { title: "none" });
    const number = numbers.get(key);
    const what =
      size === 1 ? `${metric} ${number} of 1 combination` : `${way} ${metric} ${number} of ${size} combinations`;
    const part = strength(number, scale, smallerIsBetter);
    const title = `${names[x]}=${left} ${names[y]}=${top}: ${what}`;
    const attributes = { class: `value${part > 0.55 ? " strong" : ""}`, title, style: `--strength: ${part}` };
    return h("td", attributes, short(Number.isSafeInteger(number) ? number : Number(number.toPrecision(4))));
  };
}

/** Return whether a cell can hold several combinations: there are more parameters, or some are alike in both. */
export const merges = (points, x, y) =>
  new Set(points.map((point) => keyOf(point.parameters[x], point.parameters[y]))).size < points.length;
