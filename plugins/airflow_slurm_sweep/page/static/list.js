// The list: all sweeps that the reader may see, and their latest runs.

import { dagUrl, followOutside, now } from "./airflow.js";
import { duration, h, moment } from "./dom.js";
import { bar, countsText } from "./stages.js";

const RUN_COLUMNS = ["", "Sweep", "Run", "State", "Combinations", "Best", "Started", "Took"];
const SWEEP_COLUMNS = ["Sweep", "Description", "Airflow"];

export class ListView {
  name = "list";
  live = false;

  constructor(dagId) {
    this.dagId = dagId;
    this.path = `sweeps${dagId ? `?dag_id=${encodeURIComponent(dagId)}` : ""}`;
    this.faults = h("div", { class: "faults", role: "alert", hidden: true });
    this.runs = h("tbody");
    this.sweeps = h("tbody");
    this.chosen = new Set(); // runs to compare: DAG/RUN
    this.compare = h("p", { role: "status" });
    this.showCompare();
    const hint = "No run yet. Trigger a sweep in Airflow: its Dag, then Trigger.";
    this.none = h("p", { class: "quiet", hidden: true }, hint);
    const first = "No sweep yet. Airflow shows include/sweeps/NAME.yaml here within a minute.";
    this.noSweep = h("p", { class: "quiet", hidden: true }, first);
    this.elements = [
      h("h1", {}, dagId ? h("a", { href: "./" }, "Sweeps") : "Sweeps", dagId && ` › ${dagId}`),
      this.faults,
      h("h2", {}, "Latest runs"),
      this.compare,
      listTable("Latest runs", RUN_COLUMNS, this.runs),
      this.none,
      h("h2", {}, "Sweeps"),
      listTable("Sweeps", SWEEP_COLUMNS, this.sweeps),
      this.noSweep,
    ];
  }

  show({ sweeps, runs, faults, most_compared: most }) {
    this.most = most;
    const title = "Sweep files with errors, which Airflow does not run:";
    this.faults.hidden = faults.length === 0;
    this.faults.replaceChildren(title, ...faults.map((fault) => h("pre", {}, fault)));
    this.live = runs.some((run) => run.live);
    this.none.hidden = runs.length > 0;
    this.noSweep.hidden = sweeps.length > 0;
    this.runs.parentElement.hidden = runs.length === 0;
    this.sweeps.parentElement.hidden = sweeps.length === 0;
    this.compare.hidden = runs.length < 2;
    const focused = focusName(document.activeElement);
    this.runs.replaceChildren(...runs.map((run) => this.runRow(run)));
    this.sweeps.replaceChildren(...sweeps.map(sweepRow));
    const all = document.querySelectorAll("a, input");
    if (focused) [...all].find((each) => focusName(each) === focused)?.focus({ preventScroll: true });
  }

  runRow(run) {
    const key = `${run.dag_id}/${run.run_id}`;
    const change = ({ target }) => {
      if (target.checked) this.chosen.add(key);
      else this.chosen.delete(key);
      this.showCompare();
    };
    const checked = this.chosen.has(key);
    const box = h("input", { type: "checkbox", value: key, checked, "aria-label": `Compare ${key}`, change });
    const took = run.start ? duration((run.end ?? now()) - run.start) : "–";
    return h("tr", {}, h("td", {}, box), ...runCells(run), h("td", {}, moment(run.start)), h("td", {}, took));
  }

  /** Show the link to the comparison of the chosen runs, in the order in which they were chosen. */
  showCompare() {
    const { size } = this.chosen;
    const query = new URLSearchParams([...this.chosen].map((key) => ["run", key]));
    if (size < 2)
      this.compare.replaceChildren(h("span", { class: "quiet" }, "Choose two or more runs to compare them."));
    else if (size > this.most)
      this.compare.replaceChildren(h("span", { class: "quiet" }, `Choose at most ${this.most} runs to compare them.`));
    else this.compare.replaceChildren(h("a", { href: `?${query}` }, `Compare ${size} runs`));
  }
}

const focusName = (element) => element?.href || element?.value;

export function listTable(caption, titles, body) {
  const head = h("thead", {}, h("tr", {}, ...titles.map((title) => h("th", { scope: "col" }, title))));
  return h("table", { class: "short" }, h("caption", {}, caption), head, body);
}

const sweepLink = (dagId) => h("a", { href: `?dag_id=${encodeURIComponent(dagId)}` }, dagId);

/** Return the cells that name a run, and say what became of it. */
export function runCells(run) {
  const address = `?${new URLSearchParams({ dag_id: run.dag_id, run_id: run.run_id })}`;
  return [
    h("td", {}, sweepLink(run.dag_id)),
    h("td", {}, h("a", { href: address }, run.run_id)),
    h("td", {}, h("span", { class: `state ${run.state}` }, run.state)),
    h("td", {}, bar(run, "small"), countsText(run.counts)),
    h("td", {}, run.best),
  ];
}

function sweepRow(sweep) {
  const link = { href: dagUrl(sweep.dag_id), click: followOutside, auxclick: followOutside };
  return h(
    "tr",
    {},
    h("td", {}, sweepLink(sweep.dag_id)),
    h("td", {}, sweep.description ?? ""),
    h("td", {}, h("a", link, sweep.is_paused ? "Dag (paused)" : "Dag")),
  );
}
