// What a reader can do about combinations: Airflow does it, as the user who is logged in; each action asks first.

import { call } from "./airflow.js";

export class Actions {
  /** @param changed called when something was done */
  constructor(dagId, runId, changed) {
    Object.assign(this, { dagId, runId, changed });
  }

  clearFailed(run) {
    const rows = run.combinations.filter((row) => row.stage === "failed");
    const what = rows.length === 1 ? "the combination that failed" : `the ${rows.length} combinations that failed`;
    const consequence = "Their jobs are submitted again. The others are left as they are.";
    this.confirm(`Clear ${what}?`, consequence, "Clear failed", () => this.clearRows(run, rows));
  }

  clearOne(run, row) {
    const consequence = `${row.label}\nIts job is submitted again.`;
    this.confirm(`Clear combination ${row.number}?`, consequence, "Clear", () => this.clearRows(run, [row]));
  }

  /** Clear both tasks of each row, so that there is a new job, and the report, which is made again. */
  async clearRows({ tasks: { submit, wait, report } }, rows) {
    const tasks = rows.flatMap((row) => [submit, wait].map((task) => [task, row.index]));
    const body = { dry_run: false, dag_run_id: this.runId, only_failed: false, task_ids: [...tasks, report] };
    await call("POST", `dags/${encodeURIComponent(this.dagId)}/clearTaskInstances`, body);
  }

  markFailed(row) {
    const parts = ["dags", this.dagId, "dagRuns", this.runId, "taskInstances", row.task, row.index];
    const path = parts.map(encodeURIComponent).join("/");
    const consequence = `${row.label}\nIts job is cancelled.`;
    const action = () => call("PATCH", path, { new_state: "failed" });
    this.confirm(`Mark combination ${row.number} failed?`, consequence, "Mark failed", action);
  }

  /** Ask; on a yes do it, and show an error as another question. */
  confirm(question, consequence, name, action) {
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
        this.confirm("Airflow refused", error.message, "Try again", action);
      }
    };
    dialog.showModal();
  }
}
