// The plots: a metric against a parameter, over all of them, or over two as a heat map; closed until somebody opens them.

import { h, short } from "./dom.js";
import { heatmap, merges } from "./heatmap.js";
import { metricNames, smaller } from "./objective.js";
import { parallel } from "./parallel.js";
import { scatter } from "./plot.js";
import { range, strength } from "./scales.js";

const KINDS = { scatter: "Scatter", parallel: "Parallel coordinates", heat: "Heat map" };

export class Plots {
  /**
   * @param title what a parameter is called: title(key)
   * @param events {choose(index), point(index or null), changed({plot, y, x, z, of})}: of a click, the pointer, and a choice
   * @param begin {plot, y, x, z, of}: as the address says
   */
  constructor(title, events, begin) {
    Object.assign(this, { title, events, wanted: { y: begin.y, x: begin.x, z: begin.z, how: begin.of } });
    const changed = () => this.changed();
    this.kinds = Object.entries(KINDS).map(([kind, name]) => {
      const input = h("input", { type: "radio", name: "kind", value: kind, checked: kind === (begin.plot in KINDS ? begin.plot : "scatter"), change: changed });
      return [input, h("label", { class: "tab" }, input, name)];
    });
    const select = (label) => h("select", { "aria-label": label, change: changed });
    this.y = select("Metric");
    this.x = select("Parameter");
    this.z = select("Second parameter");
    this.how = select("Of several combinations in a cell");
    this.against = h("span", {}, "against");
    this.drawing = h("div", { class: "plot", pointermove: (event) => this.move(event), pointerleave: () => this.point(null), click: () => this.choose(), keydown: (event) => this.key(event) });
    this.reading = h("p", { class: "quiet reading", role: "status" });
    this.element = h(
      "details",
      { hidden: true, class: "plots", open: begin.plot in KINDS, toggle: changed },
      h("summary", {}, "Plot"),
      h("div", { class: "row" }, h("div", { class: "tabs", role: "radiogroup", "aria-label": "Kind of plot" }, ...this.kinds.map(([, label]) => label)), this.y, this.against, this.x, this.z, this.how),
      this.drawing,
      this.reading,
    );
    new ResizeObserver(() => this.drawing.clientWidth !== this.width && this.soon()).observe(this.drawing);
  }

  get kind() {
    return this.kinds.find(([input]) => input.checked)[0].value;
  }

  /** Show a run; kept(row) tells which combinations the filter leaves. */
  show(run, best, kept) {
    Object.assign(this, { run, best, kept });
    this.element.hidden = !run.metrics.length || !run.parameters.length;
    choose(this.y, metricNames(run), this.wanted, "y");
    choose(this.x, run.parameters, this.wanted, "x");
    choose(this.z, run.parameters, this.wanted, "z", 1);
    this.soon();
  }

  changed() {
    if (!this.run) return; // it was opened by the address
    Object.assign(this.wanted, { y: this.y.value, x: this.x.value, z: this.z.value, how: this.how.value });
    const heat = this.kind === "heat";
    const open = this.element.open;
    this.events.changed({ plot: open ? this.kind : "", y: open ? this.y.value : "", x: open && this.kind !== "parallel" ? this.x.value : "", z: open && heat ? this.z.value : "", of: open && heat ? this.how.value : "" });
    this.soon();
  }

  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    if (!this.run || !this.element.open || this.element.hidden) return;
    const { run, kind } = this;
    const [name, x, z] = [this.y.value, run.parameters.indexOf(this.x.value), run.parameters.indexOf(this.z.value)];
    const known = run.combinations.filter((row) => Number.isFinite(row.metrics[name]));
    const span = range(known.map((row) => row.metrics[name]));
    this.points = known.map((row) => ({
      row,
      x: row.parameters[x] ?? "",
      y: row.metrics[name],
      parameters: run.parameters.map((_, at) => row.parameters[at] ?? ""),
      strength: strength(row.metrics[name], span, smaller(run, name)),
      kept: this.kept(row),
      best: row === this.best && name === run.objective.metric,
      title: `#${row.number} ${row.label}: ${name} ${short(row.metrics[name])}`,
    }));
    this.against.hidden = this.x.hidden = kind === "parallel";
    this.against.textContent = kind === "heat" ? "over" : "against";
    this.z.hidden = kind !== "heat";
    this.showHow(kind === "heat" && merges(this.points, x, z), name);
    const pointed = this.pointed?.row.index;
    this.width = this.drawing.clientWidth;
    const options = { x: this.title(this.x.value), y: name, names: run.parameters.map(this.title), width: Math.max(460, Math.min(1100, this.width)) };
    this.drawn = this.points.length && kind !== "heat" ? { scatter, parallel }[kind](this.points, options) : null;
    const other = () => (this.points.length ? heatmap(this.points, { x, y: z, names: options.names, metric: name, how: this.how.value, smaller: smaller(run, name) }) : `No combination has ${name} yet.`);
    this.drawing.replaceChildren(this.drawn?.element ?? other());
    // One stop of the tab key, however many combinations: the arrow keys go through them.
    if (this.drawn) Object.entries({ tabindex: 0, role: "application", "aria-label": `${name}: the arrow keys go through the combinations, Enter shows one` }).forEach(([key, value]) => this.drawing.setAttribute(key, value));
    else ["tabindex", "role", "aria-label"].forEach((key) => this.drawing.removeAttribute(key));
    this.point(this.points.find((point) => point.row.index === pointed) ?? null);
  }

  showHow(shown, name) {
    this.how.hidden = !shown;
    const best = smaller(this.run, name) ? "smallest" : "largest";
    const title = (how) => (how === best && this.run.objective?.metric === name ? `best (${how})` : how);
    const before = this.how.value || this.wanted.how;
    const ways = [best, "mean", best === "largest" ? "smallest" : "largest"];
    this.how.replaceChildren(...ways.map((how) => h("option", { value: how, selected: how === before }, title(how))));
  }

  move(event) {
    if (!this.drawn) return;
    const box = this.drawn.element.getBoundingClientRect();
    this.point(this.drawn.nearest(event.clientX - box.left, event.clientY - box.top));
  }

  /** Point out a combination, and say what it is. */
  point(point) {
    if (!this.points) return;
    const has = `${this.points.length} of ${this.run.combinations.length} combinations have ${this.y.value}`;
    if (point !== this.pointed) this.events.point(point && point.row.index);
    this.pointed = point;
    this.drawn?.outline(point);
    this.drawing.classList.toggle("pointing", Boolean(point));
    this.reading.textContent = point ? point.title : this.points.length < this.run.combinations.length ? has : "";
  }

  choose() {
    if (this.pointed) this.events.choose(this.pointed.row.index);
  }

  /** Go through the combinations in the metric's order. */
  key(event) {
    if (!this.drawn || event.target !== this.drawing) return;
    const order = this.points.filter((point) => point.kept).sort((one, other) => one.y - other.y);
    const at = order.indexOf(this.pointed);
    const steps = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at < 0 ? order.length - 1 : at - 1, ArrowDown: at < 0 ? order.length - 1 : at - 1, Home: 0, End: order.length - 1 };
    if (event.key in steps) this.point(order[Math.max(0, Math.min(order.length - 1, steps[event.key]))] ?? null);
    else if (event.key === "Escape") this.point(null);
    else if (event.key === "Enter") this.choose();
    else return;
    event.preventDefault();
  }
}

/** Fill a select, and keep what is wanted chosen. */
function choose(select, names, wanted, key, otherwise = 0) {
  if ([...select.options].map((option) => option.value).join("\n") === names.join("\n")) return;
  const value = names.includes(wanted[key]) ? wanted[key] : names[Math.min(otherwise, names.length - 1)];
  select.replaceChildren(...names.map((name) => h("option", { value: name, selected: name === value }, name)));
}
