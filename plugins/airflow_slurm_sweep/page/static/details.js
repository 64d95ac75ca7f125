// All that is known of one combination, beside the table.

import { metricText, queuedCell, stateCell, timeCell } from "./columns.js";
import { copy, h, moment } from "./dom.js";
import { metricNames } from "./objective.js";

export class Details {
  /** @param parts {links(row), closed()}: a row's links and buttons; what is done when the reader closes it */
  constructor({ links, closed }) {
    Object.assign(this, { links, closed, content: "" });
    this.title = h("h2", { id: "details", tabindex: -1 });
    this.body = h("div");
    this.element = h(
      "aside",
      { class: "details", "aria-labelledby": "details", hidden: true, keydown: (event) => event.key === "Escape" && this.closed() },
      h("div", { class: "row head" }, this.title, h("button", { type: "button", class: "push", "aria-label": "Close", title: "Close (Escape)", click: () => this.closed() }, "×")),
      this.body,
    );
  }

  /** Show a combination; null for none. Where nothing has changed, nothing moves. */
  show(run, row, best) {
    this.element.hidden = !row;
    const content = row && JSON.stringify([row, run.parameters, run.may_edit, run.objective, row === best]);
    if (content === this.content) return;
    this.content = content;
    if (!row) return;
    const focused = this.body.contains(document.activeElement) && document.activeElement.dataset.name;
    this.title.textContent = `Combination ${row.number}`;
    const exit = row.exit_code && row.exit_code !== "0:0" ? row.exit_code : "";
    const list = [
      ["State", stateCell(row)],
      ["Exit code", exit],
      ["Job", row.name],
      ["Job id", row.job_id],
      ["Nodes", row.nodes],
      ["Submitted", row.submitted && moment(row.submitted)],
      ["Queued", queuedCell(row)],
      ["Run time", timeCell(row)],
      ["Log", row.log_path && copied(row.log_path)],
    ];
    const metrics = metricNames(run).filter((name) => name in row.metrics);
    this.body.replaceChildren(
      h("p", { class: "actions" }, ...this.links(row)),
      pairs(list),
      h("h3", {}, "Parameters"),
      run.parameters.length ? pairs(run.parameters.map((key, at) => [key, row.parameters[at] || "–"])) : h("p", { class: "quiet" }, "The combinations differ in none."),
      h("h3", {}, "Metrics"),
      metrics.length ? pairs(metrics.map((name) => [name === run.objective?.metric ? `★ ${name}` : name, metricText(row.metrics[name]) + (row === best && name === run.objective.metric ? " (the best)" : "")])) : h("p", { class: "quiet" }, ["succeeded", "failed"].includes(row.stage) ? "None: the job left no metrics.json." : "None yet."),
    );
    if (focused) this.body.querySelector(`[data-name="${focused}"]`)?.focus({ preventScroll: true });
  }
}

/** Return a list of names and values, without those that are not known. */
const pairs = (list) => h("dl", {}, ...list.filter(([, value]) => value !== "" && value !== null && value !== undefined).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

/** Return text with a button that copies it. */
function copied(text) {
  const code = h("code", {}, text);
  const button = h("button", { type: "button", "data-name": "copy", "aria-label": "Copy the log's path", click: async () => (button.textContent = (await copy(code)) ? "Copied" : "Press Ctrl+C") }, "Copy");
  return h("span", {}, code, " ", button);
}
