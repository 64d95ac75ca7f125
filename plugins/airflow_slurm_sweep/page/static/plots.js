// The plots: a metric over steps, over ends, against a parameter, over all, or over two as a heat map; closed at first.

import { CurveData } from "./curve_data.js";
import { curves } from "./curves.js";
import { h, onceAFrame, short } from "./dom.js";
import { heatmap, merges } from "./heatmap.js";
import { parallel } from "./parallel.js";
import { scatter } from "./plot.js";
import { progress } from "./progress.js";
import { range, strength } from "./scales.js";
import { Zoom } from "./zoom.js";

const KINDS = {
  curves: "Curves",
  progress: "Best so far",
  scatter: "Scatter",
  parallel: "Parallel coordinates",
  heat: "Heat map",
};

export class Plots {
  /**
   * @param path of the curves, with a query
   * @param events {choose(index), point(index or null), change({plot, y, x, z, of …})}: called on a click, on a move of
   *   the pointer, and when the reader selects something
   * @param selection {plot, y, x, z, of, colour, log, steps}: as the address has it
   */
  constructor(path, events, { plot, ...selection }) {
    Object.assign(this, { events, selection, drawSoon: onceAFrame(() => this.draw()) });
    this.data = new CurveData(path, this.drawSoon);
    const change = () => this.change();
    this.zoom = new Zoom(selection.steps, change);
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
    this.colour = select("Colour");
    this.log = h("input", { type: "checkbox", checked: selection.log === "1", change });
    this.whole = h("button", { type: "button", click: () => this.zoom.set(null) }, "All steps");
    const log = h("label", {}, this.log, " Log axis");
    this.curveControls = h("span", { class: "together" }, this.colour, log, this.whole);
    this.legend = h("p", { class: "row legend", hidden: true });
    this.drawing = h("div", { class: "plot", ...this.pointerEvents() });
    this.reading = h("p", { class: "quiet reading", role: "status" });
    const labels = this.kinds.map(([, label]) => label);
    const tabs = h("div", { class: "tabs", role: "radiogroup", "aria-label": "Kind of plot" }, ...labels);
    this.element = h(
      "details",
      { hidden: true, class: "plots", open: plot in KINDS, toggle: change },
      h("summary", {}, "Plot"),
      h("div", { class: "row" }, tabs, this.y, this.between, this.x, this.z, this.way, this.curveControls),
      this.legend,
      this.drawing,
      this.reading,
    );
    new ResizeObserver(() => this.drawing.clientWidth !== this.width && this.drawSoon()).observe(this.drawing);
  }

  pointerEvents() {
    return {
      pointerdown: (event) => this.drag(event, ({ left }) => this.zoom.begin(left)),
      pointermove: (event) => this.move(event),
      pointerup: (event) => this.drag(event, ({ left }) => this.zoom.end(left, this.drawn.stepAt)),
      pointerleave: () => this.point(null),
      pointercancel: () => this.zoom.stop(),
      click: () => this.zoom.isDrag || this.choose(),
      dblclick: () => this.zoom.set(null),
      keydown: (event) => this.press(event),
    };
  }

  get kind() {
    return this.kinds.find(([input]) => input.checked)[0].value;
  }

  /** Show a run; matches(row) tells which combinations the filter leaves. */
  show(run, matches) {
    Object.assign(this, { run, matches });
    this.element.hidden = !run.metrics.length;
    for (const [input, label] of this.kinds) {
      label.hidden = !["curves", "progress"].includes(input.value) && !run.parameters.length;
      if (label.hidden && input.checked) this.kinds[0][0].checked = true;
    }
    const parameters = run.parameters.map(({ key }) => [key, key]);
    fill(this.x, parameters, this.selection.x);
    fill(this.z, parameters, this.selection.z, 1);
    fill(
      this.colour,
      [["", "Colour: rank"], ...parameters.map(([key]) => [key, `Colour: ${key}`])],
      this.selection.colour,
    );
    this.fillMetrics();
    this.drawSoon();
  }

  /** Offer the metrics that the kind of plot can show: curves need steps. */
  fillMetrics() {
    const known = this.kind === "curves" ? this.data.metrics : this.run.metrics.map(({ name }) => name);
    const metrics = known.map((name) => [name, name]);
    fill(this.y, metrics, this.kind === "curves" ? this.data.metric : this.selection.y);
  }

  /** Tell what the reader selected, and draw it. */
  change() {
    if (!this.run) return; // the address opened the plots: no data yet
    this.selection.y = this.y.value || this.selection.y;
    Object.assign(this.selection, { x: this.x.value, z: this.z.value, of: this.way.value, colour: this.colour.value });
    const { kind } = this;
    const isOpen = this.element.open;
    const hasCurves = isOpen && kind === "curves";
    this.events.change({
      plot: isOpen ? kind : "",
      y: isOpen ? this.selection.y : "",
      x: isOpen && ["scatter", "heat"].includes(kind) ? this.x.value : "",
      colour: hasCurves ? this.colour.value : "",
      log: hasCurves && this.log.checked ? "1" : "",
      steps: hasCurves ? this.zoom.text : "",
      z: isOpen && kind === "heat" ? this.z.value : "",
      of: isOpen && kind === "heat" ? this.way.value : "",
    });
    this.drawSoon();
  }

  draw() {
    if (!this.run || !this.element.open || this.element.hidden) return;
    const { kind } = this;
    const pointed = this.pointed?.row.index;
    this.width = this.drawing.clientWidth;
    const width = Math.max(460, Math.min(1100, this.width));
    this.curveControls.hidden = this.legend.hidden = kind !== "curves";
    if (kind === "curves") this.drawCurves(width);
    else this.drawMetric(width);
    this.setKeyboard(this.y.value);
    this.point(this.points.find((point) => point.row.index === pointed) ?? null);
  }

  /** Draw a metric over the steps, when it is there. */
  drawCurves(width) {
    const { data, run } = this;
    data.want(this.selection.y, run);
    this.fillMetrics();
    for (const each of [this.between, this.x, this.z, this.way]) each.hidden = true;
    const { of, marks } = data.colours(run, this.colour.value);
    this.points = data.points(run, of, this.matches);
    const canBeLog = this.points.length > 0 && this.points.every(({ values }) => Math.min(...values) > 0);
    this.log.disabled = !canBeLog;
    const { range, band } = this.zoom;
    this.whole.hidden = !range;
    const options = { y: data.metric, width, isLog: canBeLog && this.log.checked, range, band };
    this.drawn = this.points.length ? curves(this.points, options) : null;
    const none = data.etag ? "No job has written numbers with a step yet." : "Loading…";
    this.drawing.replaceChildren(this.drawn?.element ?? (data.error || none));
    const swatch = ({ at, text }) =>
      h("span", {}, h("span", { class: "swatch value", style: `--strength: ${at}` }), ` ${text}`);
    this.legend.replaceChildren(...(this.drawn ? marks.map(swatch) : []));
  }

  /** Draw the last values of a metric. */
  drawMetric(width) {
    const { run, kind } = this;
    this.fillMetrics();
    const metric = run.metrics.find(({ name }) => name === this.y.value);
    const indexOf = (select) => run.parameters.findIndex(({ key }) => key === select.value);
    const [x, z] = [indexOf(this.x), indexOf(this.z)];
    this.points = points(run, metric, x, this.matches);
    if (kind === "progress") this.points = this.points.filter(({ row }) => row.ended !== null);
    this.showControls(kind, metric, merges(this.points, x, z));
    const names = run.parameters.map(({ name }) => name);
    const size = { names, y: metric.name, x: names[x], width, smallerIsBetter: metric.smaller_is_better };
    this.drawn =
      this.points.length && kind !== "heat" ? { scatter, parallel, progress }[kind](this.points, size) : null;
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
  }

  /** Make a drawing one stop of the tab key, however many combinations it has: arrow keys go through them. */
  setKeyboard(name) {
    const keys = this.drawn?.stepAt ? "; + and - zoom, Shift with an arrow moves, 0 shows all steps" : "";
    const label = `${name}: the arrow keys go through the combinations, Enter shows one${keys}`;
    for (const [key, value] of Object.entries({ tabindex: 0, role: "application", "aria-label": label })) {
      if (this.drawn) this.drawing.setAttribute(key, value);
      else this.drawing.removeAttribute(key);
    }
  }

  /** Show the selects that the kind of plot has. */
  showControls(kind, metric, isMerged) {
    this.between.hidden = this.x.hidden = ["parallel", "progress"].includes(kind);
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
    const { left, top } = this.place(event);
    const isDrag = this.drawn.stepAt && this.zoom.drag(left);
    this.point(isDrag ? null : this.drawn.nearest(left, top));
  }

  /** Do what a step of a drag does in the curves. */
  drag(event, step) {
    if (!this.drawn?.stepAt || event.button) return;
    if (event.type === "pointerdown") this.drawing.setPointerCapture(event.pointerId);
    step(this.place(event));
  }

  /** Return where the pointer is in the drawing. */
  place({ clientX, clientY }) {
    const box = this.drawn.element.getBoundingClientRect();
    return { left: clientX - box.left, top: clientY - box.top };
  }

  /** Outline a combination, or none, and show what it is. */
  point(point) {
    if (!this.points) return;
    if (point !== this.pointed) this.events.point(point?.row.index ?? null);
    this.pointed = point;
    this.drawn?.outline(point);
    this.drawing.classList.toggle("pointing", Boolean(point));
    const [some, all] = [this.points.length, this.run.combinations.length];
    const has = some && some < all ? `${some} of ${all} combinations have ${this.y.value}. ` : "";
    const hint = this.drawn?.stepAt ? "Drag over steps to zoom in." : "";
    this.reading.textContent = point ? point.title : has + hint;
  }

  choose() {
    if (this.pointed) this.events.choose(this.pointed.row.index);
  }

  /** Go through the combinations in the metric's order. */
  press(event) {
    const { drawn } = this;
    if (!drawn || event.target !== this.drawing || event.ctrlKey || event.metaKey) return;
    if (drawn.stepAt && this.zoom.press(event, drawn.range, drawn.all)) {
      if (event.key === "Escape") this.point(null);
      return event.preventDefault();
    }
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
