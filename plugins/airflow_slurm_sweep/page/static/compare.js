// Several runs side by side: what differs between them, and their combinations in one table and one plot.

import * as address from "./address.js";
import { h } from "./dom.js";
import { listTable, runCells } from "./list.js";
import { RunView } from "./run.js";

// What a single run has besides; see RunView.
const NOTHING = {
  start: null,
  end: null,
  expected_end: null,
  live_at: null,
  notice: "",
  note: "",
  origin: {},
  stuck: [],
};

export class CompareView extends RunView {
  get paths() {
    return { run: "compare", curves: "compare/curves" };
  }

  get query() {
    return new URLSearchParams(address.getAll("run").map((run) => ["run", run]));
  }

  get fileName() {
    return "runs.csv";
  }

  heading() {
    this.runs = h("div", { class: "runs", role: "region", "aria-label": "Runs", tabindex: 0 });
    return [h("h1", {}, h("a", { href: "./" }, "Sweeps"), " › Comparison of runs"), this.runs];
  }

  show(run) {
    const content = JSON.stringify([run.runs, run.differing]);
    if (content !== this.shown) this.runs.replaceChildren(runsTable(run));
    this.shown = content;
    super.show({ ...NOTHING, ...run });
  }

  showMissing() {
    this.missing.hidden = this.run.combinations.length > 0;
    this.content.hidden = !this.missing.hidden;
    this.missing.textContent = "None of these runs has combinations yet.";
  }

  place(row) {
    return [row.dag_id, row.run_id, row.map_index];
  }
}

function runsTable({ runs, differing }) {
  const titles = ["", "Sweep", "Run", ...differing, "State", "Combinations", "Best"];
  const row = (run) => {
    const [sweep, name, ...others] = runCells(run);
    const differences = run.differences.map((text) => h("td", { title: text }, text));
    return h("tr", {}, h("th", { scope: "row" }, run.letter), sweep, name, ...differences, ...others);
  };
  return listTable("What differs between the runs", titles, h("tbody", {}, ...runs.map(row)));
}
