// The list: all sweeps that the reader may see, and their latest runs.

import { dagUrl, followOutside, now } from "./airflow.js";
import { duration, h, moment } from "./dom.js";
import { bar, countsText } from "./stages.js";

const RUN_COLUMNS = ["Sweep", "Run", "State", "Combinations", "Best", "Started", "Took"];
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
    const hint = "No run yet. Trigger a sweep in Airflow: its Dag, then Trigger.";
    this.none = h("p", { class: "quiet", hidden: true }, hint);
    this.elements = [
      h("h1", {}, dagId ? h("a", { href: "./" }, "Sweeps") : "Sweeps", dagId && ` › ${dagId}`),
      this.faults,
      h("h2", {}, "Latest runs"),
      table("Latest runs", RUN_COLUMNS, this.runs),
      this.none,
      h("h2", {}, "Sweeps"),
      table("Sweeps", SWEEP_COLUMNS, this.sweeps),
    ];
  }

  show({ sweeps, runs, faults }) {
    const title = "Sweep files with errors, which Airflow does not run:";
    this.faults.hidden = faults.length === 0;
    this.faults.replaceChildren(title, ...faults.map((fault) => h("pre", {}, fault)));
    this.live = runs.some((run) => run.live);
    this.none.hidden = runs.length > 0;
    const focused = document.activeElement?.href;
    this.runs.replaceChildren(...runs.map(runRow));
    this.sweeps.replaceChildren(...sweeps.map(sweepRow));
    if (focused) [...document.links].find((link) => link.href === focused)?.focus({ preventScroll: true });
  }
}

function table(caption, titles, body) {
  const head = h("thead", {}, h("tr", {}, ...titles.map((title) => h("th", { scope: "col" }, title))));
  return h("table", { class: "short" }, h("caption", {}, caption), head, body);
}

const sweepLink = (dagId) => h("a", { href: `?dag_id=${encodeURIComponent(dagId)}` }, dagId);

function runRow(run) {
  const address = `?${new URLSearchParams({ dag_id: run.dag_id, run_id: run.run_id })}`;
  return h(
    "tr",
    {},
    h("td", {}, sweepLink(run.dag_id)),
    h("td", {}, h("a", { href: address }, run.run_id)),
    h("td", {}, h("span", { class: `state ${run.state}` }, run.state)),
    h("td", {}, bar(run, "small"), countsText(run.counts)),
    h("td", {}, run.best),
    h("td", {}, moment(run.start)),
    h("td", {}, run.start ? duration((run.end ?? now()) - run.start) : "–"),
  );
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
