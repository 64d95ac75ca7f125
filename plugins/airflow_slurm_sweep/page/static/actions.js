// What one can do about combinations: Airflow does it, as the user who is logged in, and each is asked for first.

import { call } from "./airflow.js";

export class Actions {
  /** @param changed is called when something was done */
  constructor(dagId, runId, changed) {
    Object.assign(this, { dagId, runId, changed });
  }

  clearFailed(rows) {
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
}
