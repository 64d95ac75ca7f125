// A metric over two parameters. It is a table: its heads are read with its numbers.

import { h, short } from "./dom.js";
import { distinct, range, strength } from "./scales.js";

const MOST = 60; // values of a parameter

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const HOW = { largest: (values) => Math.max(...values), smallest: (values) => Math.min(...values), mean };

/**
 * Return the table, or the reason why there is none.
 *
 * @param points {parameters, y, kept}[]
 * @param options {x, y: indices of two parameters, names, metric, how: "largest", "smallest" or "mean", smaller: whether that is better}
 */
export function heatmap(points, { x, y, names, metric, how, smaller }) {
  const shown = points.filter((point) => point.kept);
  const [across, down] = [x, y].map((at) => distinct(shown.map((point) => point.parameters[at])));
  for (const [at, values] of [[x, across], [y, down]]) {
    if (values.length > MOST) return `${names[at]} has ${values.length} values, and a heat map room for ${MOST}: choose another parameter, or filter.`;
  }
  const cells = Map.groupBy(shown, (point) => JSON.stringify([point.parameters[x], point.parameters[y]]));
  const value = (left, top) => cells.get(JSON.stringify([left, top]));
  const numbers = new Map([...cells].map(([key, group]) => [key, HOW[how](group.map((point) => point.y))]));
  const span = range([...numbers.values()]);
  const cell = (left, top) => {
    const group = value(left, top);
    if (!group) return h("td", { title: "none" });
    const number = numbers.get(JSON.stringify([left, top]));
    const title = `${names[x]}=${left} ${names[y]}=${top}: ${group.length === 1 ? "" : `${how} `}${metric} ${number} of ${group.length} combination${group.length === 1 ? "" : "s"}`;
    const part = strength(number, span, smaller);
    return h("td", { class: `value${part > 0.55 ? " strong" : ""}`, title, style: `--strength: ${part}` }, short(Number(number.toPrecision(4))));
  };
  const text = (name) => name || "(none)";
  return h(
    "table",
    { class: "heat" },
    h("caption", {}, `${metric} over ${names[x]} and ${names[y]}`),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, `${names[y]} \\ ${names[x]}`), ...across.map((left) => h("th", { scope: "col" }, text(left))))),
    h("tbody", {}, ...down.map((top) => h("tr", {}, h("th", { scope: "row" }, text(top)), ...across.map((left) => cell(left, top))))),
  );
}

/** Return whether a cell can hold several combinations: there are more parameters, or some combinations are alike in both. */
export const merges = (points, x, y) => new Set(points.map((point) => JSON.stringify([point.parameters[x], point.parameters[y]]))).size < points.length;
