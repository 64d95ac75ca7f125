// The mean result by each parameter's value: a table for each parameter; closed at first.

import * as address from "./address.js";
import { h, short } from "./dom.js";
import { range, strength } from "./scales.js";

export class Means {
  constructor(isOpen) {
    this.title = h("summary");
    this.tables = h("div", { class: "row" });
    const toggle = () => address.set({ means: this.element.open ? "1" : "" });
    this.element = h("details", { hidden: true, class: "means", open: isOpen, toggle }, this.title, this.tables);
  }

  show({ means, metrics, parameters }) {
    this.element.hidden = means.length === 0;
    const content = JSON.stringify([means, metrics, parameters]);
    if (this.element.hidden || content === this.content) return;
    this.content = content;
    const { name, smaller_is_better: smallerIsBetter } = metrics.find((metric) => metric.is_objective);
    this.title.textContent = `Mean ${name} by value`;
    const scale = range(means.map(({ mean }) => mean));
    const cell = (mean) => {
      const part = strength(mean, scale, smallerIsBetter);
      return h("td", { class: `value${part > 0.55 ? " strong" : ""}`, style: `--strength: ${part}` }, short(mean));
    };
    const row = ({ value, number, mean, spread }) => {
      const [count, around] = [
        h("td", {}, String(number)),
        h("td", {}, spread === null ? "" : `± ${spread.toPrecision(2)}`),
      ];
      return h("tr", {}, h("th", { scope: "row" }, value), count, cell(mean), around);
    };
    const groups = Map.groupBy(means, ({ parameter }) => parameter);
    const table = ({ key, name: title }) => meanTable(`Mean ${name} by ${key}`, title, groups.get(key).map(row));
    this.tables.replaceChildren(...parameters.filter(({ key }) => groups.has(key)).map(table));
  }
}

function meanTable(caption, title, rows) {
  const heads = [title, "n", "mean", "spread"].map((head) => h("th", { scope: "col" }, head));
  return h(
    "table",
    { class: "heat" },
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, ...heads)),
    h("tbody", {}, ...rows),
  );
}
