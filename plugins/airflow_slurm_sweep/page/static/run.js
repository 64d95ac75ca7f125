// One run: how far it is, a row for each combination, and what one can do about those that failed.

import { Actions } from "./actions.js";
import * as address from "./address.js";
import { dagUrl, followOutside, now, pageUrl } from "./airflow.js";
import { columns, scales, shortest, words } from "./columns.js";
import { Details } from "./details.js";
import { duration, h, moment } from "./dom.js";
import { best, said } from "./objective.js";
import { Plots } from "./plots.js";
import { STAGES, bar, css, ended, stageOf } from "./stages.js";
import { Table } from "./table.js";

const OLD = 60; // seconds: what Slurm said before is called old

export class RunView {
  name = "run";
  live = true;

  constructor(dagId, runId, changed) {
    Object.assign(this, { dagId, runId, actions: new Actions(dagId, runId, changed) });
    this.path = `run?${new URLSearchParams({ dag_id: dagId, run_id: runId })}`;
    this.run = null;
    this.chosen = address.get("index"); // a combination's index as text; "" for none
    this.only = new Set(address.get("only").split(",").filter((stage) => STAGES.includes(stage))); // empty for all
    this.sorted = readSort(address.get("sort")); // null until the reader sorts
    this.shown = { scales: {}, best: null };
    this.state = h("span", { class: "state" });
    this.times = h("span", { class: "quiet" });
    this.bar = h("div");
    this.end = h("span", { class: "quiet", "aria-live": "polite" });
    this.age = h("span", { class: "quiet" });
    this.counts = h("div", { class: "row counts", role: "group", "aria-label": "Show only" });
    this.best = h("p", { class: "best-line", role: "status", hidden: true });
    this.search = h("input", { type: "search", "aria-label": "Filter combinations", placeholder: "Filter: lr=1e-06 failed", value: address.get("filter"), input: () => this.refine() });
    this.matches = h("span", { class: "quiet", role: "status" });
    this.order = h("span", { class: "unseen", role: "status" });
    this.clear = h("button", { type: "button", hidden: true, click: () => this.actions.clearFailed(this.run.combinations.filter((row) => row.stage === "failed")) });
    const plot = Object.fromEntries(["plot", "y", "x", "z", "of"].map((name) => [name, address.get(name)]));
    this.plots = new Plots((key) => shortest(key, this.run.parameters), { choose: (index) => this.choose(index), point: (index) => this.table.mark("pointed", index === null ? null : String(index)), changed: address.set }, plot);
    this.table = new Table({ key: (row) => String(row.index), label: "Combinations", sort: (sorted) => this.sort(sorted) });
    this.details = new Details({ links: (row) => this.links(row), closed: () => this.choose(null) });
    this.missing = h("p", { class: "quiet" }, "Loading…");
    this.content = h("div", { class: "content", hidden: true }, this.table.element, this.details.element);
    this.elements = [
      h(
        "div",
        { class: "row" },
        h("h1", {}, h("a", { href: "./" }, "Sweeps"), " › ", h("a", { href: `?dag_id=${encodeURIComponent(dagId)}` }, dagId), ` › ${runId}`),
        this.state,
        this.times,
        h("span", { class: "push" }, outside(dagUrl(dagId, "runs", runId), "Dag run in Airflow")),
      ),
      this.bar,
      h("div", { class: "row" }, this.counts, this.end, this.age),
      this.best,
      h("div", { class: "row" }, this.search, this.matches, this.order, h("span", { class: "push" }, this.clear)),
      this.plots.element,
      this.missing,
      this.content,
    ];
    setInterval(() => this.tick(), 1000);
  }

  show(run) {
    const first = !this.run?.combinations.length;
    this.run = run;
    this.live = ["queued", "running"].includes(run.state);
    this.shown.scales = scales(run);
    this.shown.best = best(run);
    this.state.className = `state ${run.state}`;
    this.state.textContent = run.state;
    const counts = {};
    for (const row of run.combinations) counts[stageOf(row)] = (counts[stageOf(row)] ?? 0) + 1;
    this.bar.replaceChildren(bar(counts));
    this.showCounts(counts);
    this.end.textContent = this.live ? expectation(run, counts) : "";
    this.showBest();
    this.clear.hidden = !run.may_edit || !counts.failed;
    this.clear.textContent = `Clear failed (${counts.failed ?? 0})`;
    this.showMissing();
    const made = columns(run, this.shown, { number: (row) => this.number(row), links: (row) => this.links(row) });
    const shape = JSON.stringify([made, run.parameters, run.may_edit]);
    if (shape !== this.shape) this.table.setColumns(made);
    this.shape = shape;
    this.filter();
    this.showDetails();
    if (first && this.chosen) this.table.reveal(this.chosen);
    this.tick();
  }

  showMissing() {
    const { combinations, plan } = this.run;
    this.missing.hidden = combinations.length > 0;
    this.content.hidden = !this.missing.hidden;
    if (this.missing.hidden) return;
    const log = outside(dagUrl(this.dagId, "runs", this.runId, "tasks", "plan"), "log of plan");
    this.missing.replaceChildren(plan === "failed" ? "The plan failed: nothing was submitted. See the " : "The plan is not made yet. See the ", log, ".");
  }

  showCounts(counts) {
    const focused = document.activeElement?.dataset?.stage;
    this.counts.replaceChildren(
      ...STAGES.filter((stage) => counts[stage] || this.only.has(stage)).map((stage) => {
        const toggle = () => {
          this.only.has(stage) ? this.only.delete(stage) : this.only.add(stage);
          this.refine();
          this.showCounts(counts);
        };
        const pressed = String(this.only.has(stage));
        return h("button", { type: "button", "data-stage": stage, "aria-pressed": pressed, class: `state ${css(stage)}`, click: toggle }, `${counts[stage] ?? 0} ${stage}`);
      }),
    );
    if (focused) this.counts.querySelector(`[data-stage="${focused}"]`)?.focus();
  }

  showBest() {
    const row = this.shown.best;
    const text = row ? said(this.run, row) : "";
    this.best.hidden = !this.run.objective;
    if (this.best.dataset.said === text) return; // it is read out when it changes, not each time
    this.best.dataset.said = text;
    if (!row) return this.best.replaceChildren(`Best: none has ${this.run.objective?.metric} yet`);
    this.best.replaceChildren(h("span", { class: "star", "aria-hidden": "true" }, "★ "), `Best: ${text} (`, this.number(row, `#${row.number}`), ")");
  }

  /** Return the link to a combination: a click shows it here, and its address can be shared. */
  number(row, name = String(row.number)) {
    const click = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return followOutside(event, "_blank");
      event.preventDefault();
      this.choose(row.index);
    };
    const query = new URLSearchParams({ dag_id: this.dagId, run_id: this.runId, index: row.index });
    return h("a", { href: pageUrl(query), "aria-label": `Combination ${row.number}`, "data-name": "number", click, auxclick: followOutside }, name);
  }

  /** Show one combination, or none, beside the table. */
  choose(index) {
    const before = this.chosen;
    this.chosen = index === null ? "" : String(index);
    address.set({ index: this.chosen });
    this.table.mark("chosen", this.chosen);
    this.showDetails();
    if (index === null) return this.table.focus(before, "number");
    this.table.reveal(this.chosen);
    this.details.title.focus({ preventScroll: true });
  }

  showDetails() {
    this.details.show(this.run, this.run.combinations.find((row) => String(row.index) === this.chosen) ?? null, this.shown.best);
  }

  sort(sorted) {
    this.sorted = sorted;
    address.set({ sort: sorted.descending ? `-${sorted.id}` : sorted.id });
    this.filter();
    const title = this.table.columns.find(({ id }) => id === sorted.id).title;
    this.order.textContent = `Sorted by ${title}, ${sorted.descending ? "descending" : "ascending"}`;
  }

  /** Do what the reader just typed or pressed. */
  refine() {
    address.set({ filter: this.search.value.trim(), only: [...this.only].join() });
    this.filter();
  }

  filter() {
    const tests = this.search.value.trim().toLowerCase().split(/\s+/).filter(Boolean).map((word) => this.test(word));
    const keep = (row) => (this.only.size === 0 || this.only.has(stageOf(row))) && tests.every((fits) => fits(row));
    const { objective, combinations } = this.run;
    const ranked = objective && { id: `metrics.${objective.metric}`, descending: objective.goal !== "minimize" };
    const marks = { best: this.shown.best && String(this.shown.best.index), chosen: this.chosen };
    this.table.update(combinations, { keep, sorted: this.sorted ?? ranked, marks, stamp: JSON.stringify([this.shown.scales, marks.best]) });
    this.matches.textContent = this.table.shown.length === combinations.length ? "" : `${this.table.shown.length} of ${combinations.length} combinations`;
    this.plots.show(this.run, this.shown.best, keep);
  }

  /** Return what tells whether a row has a word of the filter. */
  test(word) {
    const [key, wanted] = word.split("=");
    const at = wanted === undefined ? -1 : this.run.parameters.map((name) => name.toLowerCase()).findIndex((name) => name === key || name.endsWith(`.${key}`));
    if (at < 0) return (row) => words(row).some((part) => part.toLowerCase().includes(word));
    const value = (row) => String(row.parameters[at] ?? "").toLowerCase();
    return this.run.combinations.some((row) => value(row) === wanted) ? (row) => value(row) === wanted : (row) => value(row).startsWith(wanted);
  }

  links(row) {
    const log = outside(dagUrl(this.dagId, "runs", this.runId, "tasks", row.task, "mapped", row.index), "Log", `Log of combination ${row.number}`, "log");
    const button = (name, label, click) => h("button", { type: "button", "data-name": name, "aria-label": `${label}: combination ${row.number}`, click }, label);
    const open = (event) => followOutside(event, "_blank");
    return [
      log,
      row.wandb && h("a", { href: row.wandb, rel: "noreferrer", "aria-label": `W&B: run of combination ${row.number}`, "data-name": "wandb", click: open, auxclick: open }, "W&B"),
      this.run.may_edit && ["succeeded", "failed"].includes(row.stage) && button("clear", "Clear", () => this.actions.clearOne(row)),
      this.run.may_edit && ["submitting", "in Slurm"].includes(row.stage) && button("fail", "Mark failed", () => this.actions.markFailed(row)),
    ].filter(Boolean);
  }

  /** What changes by itself: times that run. */
  tick() {
    if (!this.run) return;
    const time = now();
    const { start, end, live_at: at } = this.run;
    this.times.textContent = start ? `${moment(start)}, ${end ? "took" : "for"} ${duration((end ?? time) - start)}` : "not started yet";
    this.age.textContent = this.live && at && time - at > OLD ? `Slurm's word is ${duration(time - at)} old` : "";
    for (const element of this.content.querySelectorAll("[data-since]")) element.textContent = duration(time - Number(element.dataset.since));
  }
}

const readSort = (text) => (text ? { id: text.replace(/^-/, ""), descending: text.startsWith("-") } : null);

const outside = (href, name, label, key) => h("a", { href, "aria-label": label, "data-name": key, click: followOutside, auxclick: followOutside }, name);

/** Return when the rest will have ended, if it goes on as it went so far. */
function expectation(run, counts) {
  const [done, all] = ended(counts);
  const last = run.combinations.reduce((latest, row) => Math.max(latest, row.ended ?? 0), 0);
  if (!run.start || done < 2 || done === all || last <= run.start) return "";
  const left = Math.max(0, ((all - done) * (last - run.start)) / done - (now() - last));
  const time = new Date(Date.now() + left * 1000).toLocaleTimeString([], { timeStyle: "short" });
  return `${done} of ${all} ended; the rest by about ${time}, in ${duration(left)}, if it goes on like this`;
}
