// All that is known of one combination, beside the table.

import { load } from "./airflow.js";
import { metricText, queuedCell, stateCell, timeCell } from "./columns.js";
import { copy, h, moment } from "./dom.js";

export class Details {
  /**
   * @param events {links(row), place(row), close()}: return a row's links and buttons; return its Dag, run and map
   *   index; called when the reader closes it
   */
  constructor({ links, place, close }) {
    Object.assign(this, { links, place, content: "", log: null });
    this.title = h("h2", { id: "details", tabindex: -1 });
    this.body = h("div");
    const button = { type: "button", class: "push", "aria-label": "Close", title: "Close (Escape)", click: close };
    const keydown = (event) => event.key === "Escape" && close();
    this.element = h(
      "aside",
      { class: "details", "aria-labelledby": "details", hidden: true, keydown },
      h("div", { class: "row head" }, this.title, h("button", button, "×")),
      this.body,
    );
  }

  /** Show a combination, or nothing if it is null. What has not changed stays in the document. */
  show(run, row) {
    this.element.hidden = !row;
    const content = row && JSON.stringify([row, run.parameters, run.metrics, run.may_edit, run.best]);
    if (content === this.content) return;
    this.content = content;
    if (!row) return;
    const focused = this.body.contains(document.activeElement) && document.activeElement.dataset.name;
    this.title.textContent = `Combination ${row.number}`;
    this.body.replaceChildren(
      h("p", { class: "actions" }, ...this.links(row)),
      pairs(facts(row)),
      ...(row.stage === "failed" && row.job_id ? [h("h3", {}, "The log's last lines"), this.logEnd(row)] : []),
      h("h3", {}, "Parameters"),
      parameters(run, row),
      h("h3", {}, "Metrics"),
      metrics(run, row),
    );
    if (focused) this.body.querySelector(`[data-name="${focused}"]`)?.focus({ preventScroll: true });
  }

  /** Return the last lines of a failed job's log, which are asked for once. */
  logEnd(row) {
    const jobId = row.job_id;
    const [dagId, runId, index] = this.place(row);
    const key = JSON.stringify([dagId, runId, index, jobId]); // clusters may give the same job id
    if (this.log?.key === key) return this.log.lines;
    const label = `Last lines of the log of combination ${row.number}`;
    const lines = h("pre", { class: "log", tabindex: 0, role: "region", "aria-label": label, "data-name": "lines" });
    this.log = { key, lines };
    lines.textContent = "Loading…";
    load(`log?${new URLSearchParams({ dag_id: dagId, run_id: runId, index })}`).then(
      ({ data }) => {
        lines.textContent = data.job_id === jobId ? data.lines : "None are kept of this job.";
        lines.scrollTop = lines.scrollHeight;
      },
      (error) => {
        lines.textContent = `Airflow does not answer (${error.message}); close this and open it again.`;
        this.log = null;
      },
    );
    return lines;
  }
}

const facts = (row) => [
  ["State", stateCell(row)],
  ["Waits because", row.why],
  ["Failed because", row.cause],
  ["Expected start", row.expected_start && moment(row.expected_start)],
  ["Exit code", row.exit_code],
  ["Note", row.note],
  ["Job", row.name],
  ["Job id", row.job_id],
  ["Nodes", row.nodes],
  ["Submitted", row.submitted && moment(row.submitted)],
  ["Queued", queuedCell(row)],
  ["Run time", timeCell(row)],
  ["Used", row.used],
  ["Log", row.log_path && copyable(row.log_path)],
];

function parameters(run, row) {
  if (!run.parameters.length) return h("p", { class: "quiet" }, "The combinations differ in none.");
  return pairs(run.parameters.map(({ key }, at) => [key, row.parameters[at] || "–"]));
}

function metrics(run, row) {
  const known = run.metrics.filter(({ name }) => name in row.metrics);
  const best = row.index === run.best?.index ? " (the best)" : "";
  if (known.length) {
    return pairs(
      known.map(({ name, is_objective: isObjective }) => [
        isObjective ? `★ ${name}` : name,
        metricText(row.metrics[name]) + (isObjective ? best : ""),
      ]),
    );
  }
  return h("p", { class: "quiet" }, row.job_id && row.ended ? "None: the job left no numbers." : "None yet.");
}

/** Return a list of names and values, without those that are not known. */
function pairs(list) {
  const known = list.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return h("dl", {}, ...known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** Return text with a button that copies it. */
function copyable(text) {
  const code = h("code", {}, text);
  const click = async () => {
    button.textContent = (await copy(code)) ? "Copied" : "Press Ctrl+C";
  };
  const button = h(
    "button",
    { type: "button", "data-name": "copy", "aria-label": "Copy the log's path", click },
    "Copy",
  );
  return h("span", {}, code, " ", button);
}
