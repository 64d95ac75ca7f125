// One run: how far it is, a row for each combination, and what can be done about those that failed.

import { Actions } from "./actions.js";
import * as address from "./address.js";
import { dagUrl, followOutside, now, outside, pageUrl } from "./airflow.js";
import { columns, scales, wordFilter } from "./columns.js";
import { csv, save } from "./csv.js";
import { Details } from "./details.js";
import { duration, h, moment } from "./dom.js";
import { Means } from "./means.js";
import { Plots } from "./plots.js";
import { Remarks } from "./remarks.js";
import { bar, stageClass } from "./stages.js";
import { Table } from "./table.js";

const OLD = 60; // seconds after which the page says that Slurm's states are old

export class RunView {
  name = "run";
  live = true;
  run = null;

  constructor(dagId, runId, changed) {
    Object.assign(this, { dagId, runId, actions: new Actions(dagId, runId, changed) });
    this.path = `${this.paths.run}?${this.query}`;
    this.chosen = address.get("index"); // the map index of the combination beside the table, as text; "" for none
    this.only = new Set(address.get("only").split(",").filter(Boolean)); // stages; empty for all
    this.sorted = parseSort(address.get("sort")); // null until the reader sorts
    this.createStatus();
    this.createControls();
    this.createContent();
    this.elements = [
      ...this.heading(),
      this.bar,
      h("div", { class: "row" }, this.counts, this.end, this.age),
      this.notice,
      this.best,
      this.remarks.element,
      h(
        "div",
        { class: "row" },
        this.search,
        this.matchCount,
        this.order,
        h("span", { class: "push row" }, this.file, this.clear, this.cancel),
      ),
      this.plots.element,
      this.means.element,
      this.missing,
      this.content,
    ];
    setInterval(() => this.tick(), 1000);
  }

  get paths() {
    return { run: "run", curves: "curves" };
  }

  /** Return the query of its data, and of links to this page. */
  get query() {
    return new URLSearchParams({ dag_id: this.dagId, run_id: this.runId });
  }

  get fileName() {
    return `${this.dagId} ${this.runId}.csv`;
  }

  createStatus() {
    this.state = h("span", { class: "state" });
    this.times = h("span", { class: "quiet" });
    this.bar = h("div");
    this.end = h("span", { class: "quiet", "aria-live": "polite" });
    this.age = h("span", { class: "quiet" });
    this.notice = h("p", { class: "notice", role: "alert", hidden: true });
    this.best = h("p", { class: "best-line", role: "status", hidden: true });
    this.remarks = new Remarks();
  }

  createControls() {
    this.counts = h("div", { class: "row counts", role: "group", "aria-label": "Show only" });
    this.search = h("input", {
      type: "search",
      "aria-label": "Filter combinations",
      placeholder: "Filter: lr=1e-06 failed",
      value: address.get("filter"),
      input: () => this.refine(),
    });
    this.matchCount = h("span", { class: "quiet", role: "status" });
    this.order = h("span", { class: "unseen", role: "status" });
    const about = "The rows that the table shows, in its order, with numbers in full";
    const saveRows = () => save(csv(this.table.columns, this.table.visible), this.fileName);
    this.file = h("button", { type: "button", title: about, click: saveRows }, "CSV");
    this.clear = h("button", { type: "button", hidden: true, click: () => this.actions.clearFailed(this.run) });
    const cancel = { type: "button", hidden: true, click: () => this.actions.cancelSweep(this.run) };
    this.cancel = h("button", cancel, "Cancel sweep");
  }

  createContent() {
    const names = ["plot", "y", "x", "z", "of", "colour", "log", "steps"];
    const selection = Object.fromEntries(names.map((name) => [name, address.get(name)]));
    const point = (index) => this.table.mark("pointed", index === null ? null : String(index));
    const events = { choose: (index) => this.choose(index), point, change: address.set };
    this.plots = new Plots(`${this.paths.curves}?${this.query}`, events, selection);
    this.means = new Means(address.get("means") === "1");
    const key = (row) => String(row.index);
    this.table = new Table({ key, label: "Combinations", sort: (sorted) => this.sort(sorted) });
    const place = (row) => this.place(row);
    this.details = new Details({ links: (row) => this.links(row), place, close: () => this.choose(null) });
    this.missing = h("div", { class: "quiet" }, "Loading…");
    this.content = h("div", { class: "content", hidden: true }, this.table.element, this.details.element);
  }

  /** Return what stands first. */
  heading() {
    const sweep = h("a", { href: `?dag_id=${encodeURIComponent(this.dagId)}` }, this.dagId);
    const title = h("h1", {}, h("a", { href: "./" }, "Sweeps"), " › ", sweep, ` › ${this.runId}`);
    const link = outside(dagUrl(this.dagId, "runs", this.runId), "Dag run in Airflow");
    return [h("div", { class: "row" }, title, this.state, this.times, h("span", { class: "push" }, link))];
  }

  show(run) {
    const isFirst = !this.run?.combinations.length;
    this.run = run;
    this.live = run.live;
    this.scales = scales(run);
    this.state.className = `state ${run.state}`;
    this.state.textContent = run.state;
    this.bar.replaceChildren(bar(run));
    this.end.textContent = this.expectation();
    this.notice.hidden = !run.notice;
    this.notice.textContent = run.notice;
    this.only = new Set(run.stages.filter((stage) => this.only.has(stage)));
    this.showCounts();
    this.showBest();
    this.remarks.show(run);
    this.means.show(run);
    this.showMissing();
    this.clear.hidden = !run.may_edit || !run.counts.failed;
    this.clear.textContent = `Run failed again (${run.counts.failed ?? 0})`;
    this.cancel.hidden = !run.may_edit || !run.live;
    const cells = { number: (row) => this.numberLink(row), links: (row) => this.links(row) };
    this.table.setColumns(columns(run, this.scales, cells));
    this.filter();
    this.showDetails();
    if (isFirst && this.chosen) this.table.reveal(this.chosen);
    this.tick();
  }

  showMissing() {
    const { combinations, plan, fault, tasks } = this.run;
    this.missing.hidden = combinations.length > 0;
    for (const element of [this.content, this.search, this.file]) element.hidden = !this.missing.hidden;
    if (this.missing.hidden) return;
    const log = outside(dagUrl(this.dagId, "runs", this.runId, "tasks", tasks.plan), "log of plan");
    const failed = "The plan failed: nothing was submitted. See the ";
    this.missing.replaceChildren(plan === "failed" ? failed : "The plan is not made yet. See the ", log, ".");
    if (fault && plan !== "success") this.missing.append(h("pre", { class: "fault" }, fault));
  }

  showCounts() {
    const { counts, stages } = this.run;
    const focused = document.activeElement?.dataset?.stage;
    const button = (stage) => {
      const click = () => {
        if (!this.only.delete(stage)) this.only.add(stage);
        this.refine();
        this.showCounts();
      };
      const pressed = String(this.only.has(stage));
      const attributes = { type: "button", "data-stage": stage, "aria-pressed": pressed, click };
      return h("button", { ...attributes, class: `state ${stageClass(stage)}` }, `${counts[stage] ?? 0} ${stage}`);
    };
    this.counts.replaceChildren(...stages.filter((stage) => counts[stage] || this.only.has(stage)).map(button));
    if (focused) this.counts.querySelector(`[data-stage="${focused}"]`)?.focus();
  }

  showBest() {
    const { best, objective } = this.run;
    this.best.hidden = !objective;
    const text = best ? `Best: ${best.text}` : `Best: none has ${objective?.metric} yet`;
    if (this.best.dataset.text === text) return; // screen readers read it out with each change
    this.best.dataset.text = text;
    if (!best) return this.best.replaceChildren(text);
    const star = h("span", { class: "star", "aria-hidden": "true" }, "★ ");
    this.best.replaceChildren(star, `${text} (`, this.numberLink(best, `#${best.number}`), ")");
  }

  /** Return the link to a combination: a click shows it here, and its address can be shared. */
  numberLink({ index, number }, text = String(number)) {
    const click = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return followOutside(event, "_blank");
      event.preventDefault();
      this.choose(index);
    };
    const href = pageUrl(`${this.query}&${new URLSearchParams({ index })}`);
    const label = `Combination ${number}`;
    return h("a", { href, "aria-label": label, "data-name": "number", click, auxclick: followOutside }, text);
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
    const row = this.run.combinations.find(({ index }) => String(index) === this.chosen);
    this.details.show(this.run, row ?? null);
  }

  sort(sorted) {
    this.sorted = sorted;
    address.set({ sort: sorted.descending ? `-${sorted.id}` : sorted.id });
    this.filter();
    const { title } = this.table.columns.find(({ id }) => id === sorted.id);
    this.order.textContent = `Sorted by ${title}, ${sorted.descending ? "descending" : "ascending"}`;
  }

  /** Apply the filter that the reader has just changed. */
  refine() {
    address.set({ filter: this.search.value.trim(), only: [...this.only].join() });
    this.filter();
  }

  filter() {
    const { best, combinations, may_edit: mayEdit, metrics } = this.run;
    const isFound = wordFilter(this.run, this.search.value);
    const matches = (row) => (this.only.size === 0 || this.only.has(row.stage)) && isFound(row);
    const objective = metrics.find((metric) => metric.is_objective);
    const ranked = objective && { id: `metrics.${objective.name}`, descending: !objective.smaller_is_better };
    const marks = { best: best && String(best.index), chosen: this.chosen };
    const stamp = JSON.stringify([this.scales, marks.best, mayEdit]);
    this.table.update(combinations, { matches, sorted: this.sorted ?? ranked, marks, stamp });
    const [some, all] = [this.table.visible.length, combinations.length];
    this.matchCount.textContent = some === all ? "" : `${some} of ${all} combinations`;
    this.plots.show(this.run, matches);
  }

  /** Return Dag, run and map index of a combination. */
  place({ index }) {
    return [this.dagId, this.runId, index];
  }

  /** Return the links and buttons of a combination. */
  links(row) {
    const { number, action, wandb } = row;
    const [dagId, runId, mapIndex] = this.place(row);
    const log = dagUrl(dagId, "runs", runId, "tasks", row.task, "mapped", mapIndex);
    const open = (event) => followOutside(event, "_blank");
    const label = `W&B: run of combination ${number}`;
    const attributes = { rel: "noreferrer", "aria-label": label, "data-name": "wandb", click: open, auxclick: open };
    return [
      outside(log, "Log", `Log of combination ${number}`, "log"),
      wandb && h("a", { href: wandb, ...attributes }, "W&B"),
      this.run.may_edit && action && this.button(row),
    ].filter(Boolean);
  }

  button(row) {
    const { action, number } = row;
    const [text, click] = {
      clear: ["Run again", () => this.actions.clearOne(this.run, row)],
      fail: ["Cancel job", () => this.actions.cancelJob(this.run, row)],
    }[action];
    const label = `${text}: combination ${number}`;
    return h("button", { type: "button", "data-name": action, "aria-label": label, click }, text);
  }

  /** Update the times that go on by themselves. */
  tick() {
    if (!this.run) return;
    const time = now();
    const { start, end, live, live_at: liveAt, used } = this.run;
    const took = start && `${moment(start)}, ${end ? "took" : "for"} ${duration((end ?? time) - start)}`;
    this.times.textContent = [took || "not started yet", used && `used: ${used}`].filter(Boolean).join("; ");
    this.age.textContent =
      live && liveAt && time - liveAt > OLD ? `Slurm's word is ${duration(time - liveAt)} old` : "";
    for (const element of this.content.querySelectorAll("[data-since]")) {
      element.textContent = duration(time - Number(element.dataset.since));
    }
  }

  /** Return when the rest will have ended. It is set with new data only: a screen reader reads each change out. */
  expectation() {
    const { live, ended, all, expected_end: expectedEnd } = this.run;
    if (!live || !expectedEnd) return "";
    const left = Math.max(0, expectedEnd - now());
    const time = new Date(Date.now() + left * 1000).toLocaleTimeString([], { timeStyle: "short" });
    return `${ended} of ${all} ended; the rest by about ${time}, in ${duration(left)}, if it goes on like this`;
  }
}

const parseSort = (text) => (text ? { id: text.replace(/^-/, ""), descending: text.startsWith("-") } : null);
