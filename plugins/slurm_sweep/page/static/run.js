// One run: how far it is, a row for each combination, and what one can do about those that failed.

import { call, dagUrl, followOutside } from "./airflow.js";
import { duration, h, moment, seconds } from "./dom.js";
import { plot, short } from "./plot.js";
import { STAGES, bar, css, ended } from "./stages.js";
import { Table } from "./table.js";

export class RunView {
  name = "run";
  live = true;

  constructor(dagId, runId, changed) {
    Object.assign(this, { dagId, runId, changed });
    this.path = `run?${new URLSearchParams({ dag_id: dagId, run_id: runId })}`;
    this.run = null;
    this.only = new Set(); // stages; empty for all
    this.state = h("span", { class: "state" });
    this.times = h("span", { class: "quiet" });
    this.bar = h("div");
    this.end = h("span", { class: "quiet", "aria-live": "polite" });
    this.counts = h("div", { class: "row counts", role: "group", "aria-label": "Show only" });
    this.search = h("input", { type: "search", "aria-label": "Filter combinations", placeholder: "Filter: lr=1e-06 failed", input: () => this.filter() });
    this.matches = h("span", { class: "quiet", role: "status" });
    this.clear = h("button", { type: "button", hidden: true, click: () => this.clearFailed() });
    this.plot = new Plot();
    this.content = h("div", { style: "display: contents" }, h("p", { class: "quiet" }, "Loading…"));
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
      h("div", { class: "row" }, this.counts, this.end),
      h("div", { class: "row" }, this.search, this.matches, h("span", { class: "push" }, this.clear)),
      this.plot.element,
      this.content,
    ];
    setInterval(() => this.tick(), 1000);
  }

  show(run) {
    this.run = run;
    this.live = ["queued", "running"].includes(run.state);
    this.state.className = `state ${run.state}`;
    this.state.textContent = run.state;
    const counts = {};
    for (const { stage } of run.combinations) counts[stage] = (counts[stage] ?? 0) + 1;
    this.bar.replaceChildren(bar(counts));
    this.showCounts(counts);
    this.end.textContent = this.live ? expectation(run, counts) : "";
    this.showClear(counts.failed ?? 0);
    const shape = JSON.stringify([run.parameters, run.metrics, run.may_edit, run.combinations.some((row) => row.wandb)]);
    if (shape !== this.shape) {
      const sorted = this.table?.sorted;
      this.shape = shape;
      this.table = new Table(this.columns(run), { key: (row) => String(row.index), label: "Combinations" });
      if (sorted && sorted.column !== null && sorted.column <= run.parameters.length + 4) {
        this.table.sortBy(sorted.column);
        if (sorted.descending) this.table.sortBy(sorted.column);
      }
    }
    this.showRows();
    this.plot.show(run);
    this.tick();
  }

  showRows() {
    const { combinations, plan } = this.run;
    if (combinations.length) {
      const before = this.content.firstChild;
      if (before === this.table.element) return this.filter();
      const top = before.scrollTop;
      this.content.replaceChildren(this.table.element);
      this.filter();
      this.table.element.scrollTop = top;
      return;
    }
    const log = outside(dagUrl(this.dagId, "runs", this.runId, "tasks", "plan"), "log of plan");
    const said = plan === "failed" ? "The plan failed: nothing was submitted. See the " : "The plan is not made yet. See the ";
    this.content.replaceChildren(h("p", {}, said, log, "."));
  }

  showCounts(counts) {
    const focused = document.activeElement?.dataset?.stage;
    this.counts.replaceChildren(
      ...STAGES.filter((stage) => counts[stage] || this.only.has(stage)).map((stage) => {
        const toggle = () => {
          this.only.has(stage) ? this.only.delete(stage) : this.only.add(stage);
          this.show(this.run);
        };
        const pressed = String(this.only.has(stage));
        return h("button", { type: "button", "data-stage": stage, "aria-pressed": pressed, class: `state ${css(stage)}`, click: toggle }, `${counts[stage] ?? 0} ${stage}`);
      }),
    );
    if (focused) this.counts.querySelector(`[data-stage="${focused}"]`)?.focus();
  }

  showClear(failed) {
    this.clear.hidden = !this.run.may_edit || failed === 0;
    this.clear.textContent = `Clear failed (${failed})`;
  }

  filter() {
    const words = this.search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const tests = words.map((word) => this.test(word));
    const keep = (row) => (this.only.size === 0 || this.only.has(row.stage)) && tests.every((fits) => fits(row));
    this.table.update(this.run.combinations, keep);
    const [shown, all] = [this.table.shown.length, this.run.combinations.length];
    this.matches.textContent = shown === all ? "" : `${shown} of ${all} combinations`;
  }

  /** Return what tells whether a row has a word of the filter. */
  test(word) {
    const [key, wanted] = word.split("=");
    const at = wanted === undefined ? -1 : this.run.parameters.map((name) => name.toLowerCase()).findIndex((name) => name === key || name.endsWith(`.${key}`));
    if (at < 0) return (row) => text(row).some((part) => part.toLowerCase().includes(word));
    const value = (row) => String(row.parameters[at] ?? "").toLowerCase();
    return this.run.combinations.some((row) => value(row) === wanted) ? (row) => value(row) === wanted : (row) => value(row).startsWith(wanted);
  }

  columns(run) {
    const scales = Object.fromEntries(run.metrics.map((name) => [name, scale(run.combinations.map((row) => row.metrics[name]))]));
    return [
      { title: "#", text: (row) => row.number, tip: (row) => row.name, class: "number", about: "The combination's number in its sweep" },
      ...run.parameters.map((key, at) => ({
        title: shortest(key, run.parameters),
        text: (row) => row.parameters[at] ?? "",
        about: key,
        class: run.combinations.every((row) => !Number.isNaN(Number(row.parameters[at] ?? ""))) ? "number" : "",
      })),
      { title: "State", text: stateText, cell: stateCell, value: (row) => STAGES.indexOf(row.stage) },
      { title: "Job id", text: (row) => row.job_id, tip: (row) => row.log_path, about: "Slurm's; hover over one for its log's path" },
      { title: "Nodes", text: (row) => row.nodes },
      { title: "Run time", text: (row) => (row.elapsed ? duration(seconds(row.elapsed)) : "00:00:00"), tip: (row) => row.elapsed, value: runTime, cell: timeCell, class: "number", about: "Of the job; while it is in Slurm, since it was submitted" },
      ...run.metrics.map((name) => ({
        title: name,
        text: (row) => metric(row.metrics[name]),
        value: (row) => row.metrics[name] ?? "",
        tip: (row) => row.metrics[name],
        class: "number",
        style: (row) => shade(row.metrics[name], scales[name]),
      })),
      { title: "", sorts: false, text: () => "", width: (run.may_edit ? 22 : 8) + (run.combinations.some((row) => row.wandb) ? 6 : 0), cell: (row) => this.links(row), class: "actions" },
    ];
  }

  links(row) {
    const log = outside(dagUrl(this.dagId, "runs", this.runId, "tasks", row.task, "mapped", row.index), "Log", `Log of combination ${row.number}`, "log");
    const button = (name, label, click) => h("button", { type: "button", "data-name": name, "aria-label": `${label}: combination ${row.number}`, click }, label);
    const open = (event) => followOutside(event, "_blank");
    return [
      log,
      row.wandb && h("a", { href: row.wandb, rel: "noreferrer", "aria-label": `W&B: run of combination ${row.number}`, "data-name": "wandb", click: open, auxclick: open }, "W&B"),
      this.run.may_edit && ["succeeded", "failed"].includes(row.stage) && button("clear", "Clear", () => this.clearOne(row)),
      this.run.may_edit && ["submitting", "in Slurm"].includes(row.stage) && button("fail", "Mark failed", () => this.markFailed(row)),
    ].filter(Boolean);
  }

  clearFailed() {
    const rows = this.run.combinations.filter((row) => row.stage === "failed");
    const what = rows.length === 1 ? "the combination that failed" : `the ${rows.length} combinations that failed`;
    this.ask(`Clear ${what}?`, "Their jobs are submitted again. The others are left as they are.", "Clear failed", () => this.clearRows(rows));
  }

  clearOne(row) {
    this.ask(`Clear combination ${row.number}?`, `${row.label}\nIts job is submitted again.`, "Clear", () => this.clearRows([row]));
  }

  /** Clear both tasks of each, so that there is a new job, and the report, which is made again. */
  async clearRows(rows) {
    const tasks = rows.flatMap((row) => ["combination.submit", "combination.wait"].map((task) => [task, row.index]));
    const body = { dry_run: false, dag_run_id: this.runId, only_failed: false, task_ids: [...tasks, "report"] };
    await call("POST", `dags/${encodeURIComponent(this.dagId)}/clearTaskInstances`, body);
  }

  markFailed(row) {
    const path = ["dags", this.dagId, "dagRuns", this.runId, "taskInstances", row.task, row.index].map(encodeURIComponent).join("/");
    this.ask(`Mark combination ${row.number} failed?`, `${row.label}\nIts job is cancelled.`, "Mark failed", () => call("PATCH", path, { new_state: "failed" }));
  }

  /** Ask first; then do it, and say what came of it. */
  ask(question, consequence, name, action) {
    const dialog = document.getElementById("dialog");
    const yes = dialog.querySelector("[value=yes]");
    dialog.querySelector("h2").textContent = question;
    dialog.querySelector("p").textContent = consequence;
    yes.textContent = name;
    dialog.returnValue = "";
    dialog.onclose = async () => {
      if (dialog.returnValue !== "yes") return;
      try {
        await action();
        this.changed();
      } catch (error) {
        this.ask("Airflow refused", error.message, "Try again", action);
      }
    };
    dialog.showModal();
  }

  /** What changes by itself: times that run. */
  tick() {
    if (!this.run) return;
    const now = Date.now() / 1000;
    const { start, end } = this.run;
    this.times.textContent = start ? `${moment(start)}, ${end ? "took" : "for"} ${duration((end ?? now) - start)}` : "not started yet";
    for (const element of this.content.querySelectorAll("[data-since]")) element.textContent = duration(now - Number(element.dataset.since));
  }
}

/** A metric against a parameter, both chosen by the reader; closed until somebody opens it. */
class Plot {
  constructor() {
    const changed = () => this.draw();
    this.y = h("select", { "aria-label": "Metric", change: changed });
    this.x = h("select", { "aria-label": "Parameter", change: changed });
    this.drawing = h("div", { class: "plot" });
    this.element = h("details", { hidden: true, toggle: changed }, h("summary", {}, "Plot"), h("div", { class: "row" }, this.y, "against", this.x), this.drawing);
  }

  show(run) {
    this.run = run;
    this.element.hidden = !run.metrics.length || !run.parameters.length;
    choose(this.y, run.metrics);
    choose(this.x, run.parameters);
    this.draw();
  }

  draw() {
    if (!this.element.open || this.element.hidden) return;
    const [name, at] = [this.y.value, this.run.parameters.indexOf(this.x.value)];
    const known = this.run.combinations.filter((row) => Number.isFinite(row.metrics[name]));
    const points = known.map((row) => ({ x: row.parameters[at] ?? "", y: row.metrics[name], title: `${row.number}: ${row.label}\n${name} ${short(row.metrics[name])}` }));
    this.drawing.replaceChildren(points.length ? plot(points, this.x.value, name) : "No combination has it yet.");
  }
}

function choose(select, names) {
  if ([...select.options].map((option) => option.value).join("\n") === names.join("\n")) return;
  const before = select.value;
  select.replaceChildren(...names.map((name) => h("option", { value: name, selected: name === before }, name)));
}

const metric = (value) => (typeof value === "number" ? short(value) : (value ?? ""));

const outside = (href, name, label, key) => h("a", { href, "aria-label": label, "data-name": key, click: followOutside, auxclick: followOutside }, name);

/** Return a key's last part, or all of it where two parameters end alike. */
function shortest(key, keys) {
  const last = (name) => name.split(".").at(-1);
  return keys.filter((name) => last(name) === last(key)).length === 1 ? last(key) : key;
}

function stateText(row) {
  if (row.slurm) return row.reason && row.reason !== row.slurm ? `${row.slurm} (${row.reason})` : row.slurm;
  if (row.stage === "failed") return row.task_state === "upstream_failed" ? "not submitted" : `${row.task.split(".").at(-1)} failed`;
  return row.stage === "waiting" && row.task_state && row.task_state !== "scheduled" ? `waiting (${row.task_state})` : row.stage;
}

const stateCell = (row) => h("span", { class: `state ${css(row.stage)}` }, stateText(row));

const runTime = (row) => (row.elapsed ? seconds(row.elapsed) : row.stage === "in Slurm" ? Date.now() / 1000 - row.submitted : "");

function timeCell(row) {
  if (row.elapsed) return Number.isNaN(seconds(row.elapsed)) ? row.elapsed : duration(seconds(row.elapsed));
  if (row.stage !== "in Slurm" || !row.submitted) return "";
  return h("span", { class: "quiet", "data-since": row.submitted, title: "since it was submitted" }, duration(Date.now() / 1000 - row.submitted));
}

const text = (row) => [row.name, row.label, row.stage, stateText(row), row.job_id, row.nodes, ...row.parameters];

function scale(values) {
  const numbers = values.filter(Number.isFinite);
  return numbers.length > 1 ? [Math.min(...numbers), Math.max(...numbers)] : null;
}

function shade(value, range) {
  if (!range || !Number.isFinite(value) || range[0] === range[1]) return null;
  return `background-color: color-mix(in srgb, var(--scale) ${Math.round((45 * (value - range[0])) / (range[1] - range[0]))}%, transparent)`;
}

/** Return when the rest will have ended, if it goes on as it went so far. */
function expectation(run, counts) {
  const [done, all] = ended(counts);
  const last = Math.max(...run.combinations.map((row) => row.ended ?? 0));
  if (!run.start || done < 2 || done === all || last <= run.start) return "";
  const left = Math.max(0, ((all - done) * (last - run.start)) / done - (Date.now() / 1000 - last));
  const time = new Date(Date.now() + left * 1000).toLocaleTimeString([], { timeStyle: "short" });
  return `${done} of ${all} ended; the rest by about ${time}, in ${duration(left)}, if it goes on like this`;
}
