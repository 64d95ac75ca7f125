// The plots: a metric against a parameter, over all of them, or over two as a heat map; closed at first.

import { h, onceAFrame, short } from "./dom.js";
import { heatmap, merges } from "./heatmap.js";
import { parallel } from "./parallel.js";
import { scatter } from "./plot.js";
import { range, strength } from "./scales.js";

const KINDS = { scatter: "Scatter", parallel: "Parallel coordinates", heat: "Heat map" };

export class Plots {
  /**
   * @param events {choose(index), point(index or null), change({plot, y, x, z, of})}: called on a click, on a move of
   *   the pointer, and when the reader selects something
   * @param selection {plot, y, x, z, of}: as the address has it
   */
  constructor(events, { plot, y, x, z, of }) {
    Object.assign(this, { events, selection: { y, x, z, of }, drawSoon: onceAFrame(() => this.draw()) });
    const change = () => this.change();
    this.kinds = Object.entries(KINDS).map(([kind, name]) => {
      const checked = kind === (plot in KINDS ? plot : "scatter");
      const input = h("input", { type: "radio", name: "kind", value: kind, checked, change });
      return [input, h("label", { class: "tab" }, input, name)];
    });
    const select = (label) => h("select", { "aria-label": label, change });
    this.y = select("Metric");
    this.x = select("Parameter");
    this.z = select("Second parameter");
    this.way = select("Of several combinations in a cell");
    this.between = h("span", {}, "against");
    this.drawing = h("div", { class: "plot", ...this.pointerEvents() });
    this.reading = h("p", { class: "quiet reading", role: "status" });
    const labels = this.kinds.map(([, label]) => label);
    const tabs = h("div", { class: "tabs", role: "radiogroup", "aria-label": "Kind of plot" }, ...labels);
    this.element = h(
      "details",
      { hidden: true, class: "plots", open: plot in KINDS, toggle: change },
      h("summary", {}, "Plot"),
      h("div", { class: "row" }, tabs, this.y, this.between, this.x, this.z, this.way),
      this.drawing,
      this.reading,
    );
    new ResizeObserver(() => this.drawing.clientWidth !== this.width && this.drawSoon()).observe(this.drawing);
  }

  pointerEvents() {
    return {
      pointermove: (event) => this.move(event),
      pointerleave: () => this.point(null),
      click: () => this.choose(),
      keydown: (event) => this.press(event),
    };
  }

  get kind() {
    return this.kinds.find(([input]) => input.checked)[0].value;
  }

  /** Show a run; matches(row) tells which combinations the filter leaves. */
  show(run, matches) {
    Object.assign(this, { run, matches });
    this.element.hidden = !run.metrics.length || !run.parameters.length;
    const metrics = run.metrics.map(({ name }) => [name, name]);
    const parameters = run.parameters.map(({ key }) => [key, key]);
    fill(this.y, metrics, this.selection.y);
    fill(this.x, parameters, this.selection.x);
    fill(this.z, parameters, this.selection.z, 1);
    this.drawSoon();
  }

  /** Tell what the reader selected, and draw it. */
  change() {
    if (!this.run) return; // the address opened the plots: no data yet
    Object.assign(this.selection, { y: this.y.value, x: this.x.value, z: this.z.value, of: this.way.value });
    const { kind } = this;
    const isOpen = this.element.open;
    this.events.change({
      plot: isOpen ? kind : "",
      y: isOpen ? this.y.value : "",
      x: isOpen && kind !== "parallel" ? this.x.value : "",
      z: isOpen && kind === "heat" ? this.z.value : "",
      of: isOpen && kind === "heat" ? this.way.value : "",
    });
    this.drawSoon();
  }

  draw() {
    if (!this.run || !this.element.open || this.element.hidden) return;
    const { run, kind } = this;
    const metric = run.metrics.find(({ name }) => name === this.y.value);
    const indexOf = (select) => run.parameters.findIndex(({ key }) => key === select.value);
    const [x, z] = [indexOf(this.x), indexOf(this.z)];
    const pointed = this.pointed?.row.index;
    this.points = points(run, metric, x, this.matches);
    this.showControls(kind, metric, merges(this.points, x, z));
    this.width = this.drawing.clientWidth;
    const names = run.parameters.map(({ name }) => name);
    const size = { names, y: metric.name, x: names[x], width: Math.max(460, Math.min(1100, this.width)) };
    this.drawn = this.points.length && kind !== "heat" ? { scatter, parallel }[kind](this.points, size) : null;
    const heat = {
      x,
      y: z,
      names,
      metric: metric.name,
      way: this.way.value,
      smallerIsBetter: metric.smaller_is_better,
    };
    const other = () => (this.points.length ? heatmap(this.points, heat) : `No combination has ${metric.name} yet.`);
    this.drawing.replaceChildren(this.drawn?.element ?? other());
    this.setKeyboard(metric.name);
    this.point(this.points.find((point) => point.row.index === pointed) ?? null);
  }

  /** Make a drawing one stop of the tab key, however many combinations it has: arrow keys go through them. */
  setKeyboard(name) {
    const label = `${name}: the arrow keys go through the combinations, Enter shows one`;
    for (const [key, value] of Object.entries({ tabindex: 0, role: "application", "aria-label": label })) {
      if (this.drawn) this.drawing.setAttribute(key, value);
      else this.drawing.removeAttribute(key);
    }
  }

  /** Show the selects that the kind of plot has. */
  showControls(kind, metric, isMerged) {
    this.between.hidden = this.x.hidden = kind === "parallel";
    this.between.textContent = kind === "heat" ? "over" : "against";
    this.z.hidden = kind !== "heat";
    this.way.hidden = kind !== "heat" || !isMerged;
    const [best, worst] = metric.smaller_is_better ? ["smallest", "largest"] : ["largest", "smallest"];
    const title = (way) => (way === best && metric.is_objective ? `best (${way})` : way);
    const ways = [best, "mean", worst].map((way) => [way, title(way)]);
    fill(this.way, ways, this.way.value || this.selection.of);
  }

  move(event) {
    if (!this.drawn) return;
    const box = this.drawn.element.getBoundingClientRect();
    this.point(this.drawn.nearest(event.clientX - box.left, event.clientY - box.top));
  }

  /** Outline a combination, or none, and show what it is. */
  point(point) {
    if (!this.points) return;
    if (point !== this.pointed) this.events.point(point?.row.index ?? null);
    this.pointed = point;
    this.drawn?.outline(point);
    this.drawing.classList.toggle("pointing", Boolean(point));
    const [some, all] = [this.points.length, this.run.combinations.length];
    const has = some < all ? `${some} of ${all} combinations have ${this.y.value}` : "";
    this.reading.textContent = point ? point.title : has;
  }

  choose() {
    if (this.pointed) this.events.choose(this.pointed.row.index);
  }

  /** Go through the combinations in the metric's order. */
  press(event) {
    if (!this.drawn || event.target !== this.drawing) return;
    const order = this.points.filter((point) => point.matches).sort((one, other) => one.y - other.y);
    const at = order.indexOf(this.pointed);
    const last = order.length - 1;
    const before = at < 0 ? last : at - 1;
    const steps = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: before, ArrowDown: before, Home: 0, End: last };
    if (event.key in steps) this.point(order[Math.max(0, Math.min(last, steps[event.key]))] ?? null);
    else if (event.key === "Escape") this.point(null);
    else if (event.key === "Enter") this.choose();
    else return;
    event.preventDefault();
  }
}

/** Return the combinations that have a number of the metric, as the drawings take them. */
function points(run, { name, is_objective: isObjective, smaller_is_better: smallerIsBetter }, x, matches) {
  const rows = run.combinations.filter((row) => Number.isFinite(row.metrics[name]));
  const scale = range(rows.map((row) => row.metrics[name]));
  return rows.map((row) => ({
    row,
    x: row.parameters[x],
    y: row.metrics[name],
    parameters: row.parameters,
    strength: strength(row.metrics[name], scale, smallerIsBetter),
    matches: matches(row),
    best: isObjective && row.index === run.best?.index,
    title: `#${row.number} ${row.label}: ${name} ${short(row.metrics[name])}`,
  }));
}

/** Fill a select with [value, text] options unless it has them already; select a value, or else the one at a place. */
function fill(select, options, selected, otherwise = 0) {
  const isSame = ({ value, text }, at) => value === options[at]?.[0] && text === options[at][1];
  if (select.options.length === options.length && [...select.options].every(isSame)) return;
  const isKnown = options.some(([value]) => value === selected);
  const chosen = isKnown ? selected : options[Math.min(otherwise, options.length - 1)]?.[0];
  const option = ([value, text]) => h("option", { value, selected: value === chosen }, text);
  select.replaceChildren(...options.map(option));
}
