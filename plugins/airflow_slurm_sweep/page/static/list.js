// The list: all sweeps that the reader may see, and their latest runs.

import { dagUrl, followOutside, now } from "./airflow.js";
import { duration, h, moment } from "./dom.js";
import { bar, counted } from "./stages.js";

export class ListView {
  name = "list";
  live = false;

  constructor(dagId) {
    this.dagId = dagId;
    this.path = `sweeps${dagId ? `?dag_id=${encodeURIComponent(dagId)}` : ""}`;
    this.runs = h("tbody");
    this.sweeps = h("tbody");
    this.none = h("p", { class: "quiet", hidden: true }, "No run yet. Trigger a sweep in Airflow: its Dag, then Trigger.");
    const head = (...titles) => h("thead", {}, h("tr", {}, ...titles.map((title) => h("th", { scope: "col" }, title))));
    this.elements = [
      h("h1", {}, dagId ? h("a", { href: "./" }, "Sweeps") : "Sweeps", dagId && ` › ${dagId}`),
      h("h2", {}, "Latest runs"),
      h("table", { class: "short" }, h("caption", {}, "Latest runs"), head("Sweep", "Run", "State", "Combinations", "Started", "Took"), this.runs),
      this.none,
      h("h2", {}, "Sweeps"),
      h("table", { class: "short" }, h("caption", {}, "Sweeps"), head("Sweep", "Description", "Airflow"), this.sweeps),
    ];
  }

  show({ sweeps, runs }) {
    this.live = runs.some((run) => ["queued", "running"].includes(run.state));
    this.none.hidden = runs.length > 0;
    const focused = document.activeElement?.href;
    this.runs.replaceChildren(...runs.map(runRow));
    this.sweeps.replaceChildren(...sweeps.map(sweepRow));
    if (focused) [...document.links].find((link) => link.href === focused)?.focus({ preventScroll: true });
  }
}

const sweepLink = (dagId) => h("a", { href: `?dag_id=${encodeURIComponent(dagId)}` }, dagId);

function runRow(run) {
  const address = `?${new URLSearchParams({ dag_id: run.dag_id, run_id: run.run_id })}`;
  const took = run.start && (run.end ?? now()) - run.start;
  return h(
    "tr",
    {},
    h("td", {}, sweepLink(run.dag_id)),
    h("td", {}, h("a", { href: address }, run.run_id)),
    h("td", {}, h("span", { class: `state ${run.state}` }, run.state)),
    h("td", {}, bar(run.counts, "small"), counted(run.counts)),
    h("td", {}, moment(run.start)),
    h("td", {}, run.start ? duration(took) : "–"),
  );
}

function sweepRow(sweep) {
  return h(
    "tr",
    {},
    h("td", {}, sweepLink(sweep.dag_id)),
    h("td", {}, sweep.description ?? ""),
    h("td", {}, h("a", { href: dagUrl(sweep.dag_id), click: followOutside, auxclick: followOutside }, sweep.is_paused ? "Dag (paused)" : "Dag")),
  );
}
