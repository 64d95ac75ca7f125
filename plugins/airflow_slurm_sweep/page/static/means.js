// The mean result of each combination's repeats, and by each parameter's value: a table for each; closed at first.

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

  show({ means, metrics, parameters, repeats }) {
    this.element.hidden = means.length + repeats.length === 0;
    const content = JSON.stringify([means, metrics, parameters, repeats]);
    if (this.element.hidden || content === this.content) return;
    this.content = content;
    const { name, smaller_is_better: smallerIsBetter } = metrics.find((metric) => metric.is_objective) ?? {};
    this.element.hidden = !name;
    const by = [repeats.length && "of repeats", means.length && "by value"].filter(Boolean);
    this.title.textContent = `Mean ${name} ${by.join(" and ")}`;
    const groups = Map.groupBy(means, ({ parameter }) => parameter);
    const rows = (some) => meanRows(some, smallerIsBetter, range(some.map(({ mean }) => mean)));
    const scale = range(means.map(({ mean }) => mean));
    const table = ({ key, name: title }) =>
      meanTable(`Mean ${name} by ${key}`, title, meanRows(groups.get(key), smallerIsBetter, scale));
    const ofRepeats = repeats.map(({ combination, number, jobs, mean, spread }) => {
      return { value: combination, number: number === jobs ? number : `${number} of ${jobs}`, mean, spread };
    });
    this.tables.replaceChildren(
      ...(repeats.length ? [meanTable(`Mean ${name} of the repeats`, "combination", rows(ofRepeats))] : []),
      ...parameters.filter(({ key }) => groups.has(key)).map(table),
    );
  }
}

function meanRows(means, smallerIsBetter, scale) {
  return means.map(({ value, number, mean, spread }) => {
    const part = mean === null ? 0 : strength(mean, scale, smallerIsBetter);
    const shade = { class: `value${part > 0.55 ? " strong" : ""}`, style: `--strength: ${part}` };
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, value),
      h("td", {}, String(number)),
      h("td", shade, mean === null ? "" : short(mean)),
      h("td", {}, spread === null ? "" : `± ${spread.toPrecision(2)}`),
    );
  });
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
