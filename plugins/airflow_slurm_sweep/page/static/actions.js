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
    const consequence = "New jobs, in the same run directories. The other combinations are left as they are.";
    this.confirm(`Run ${what} again?`, consequence, "Run failed again", () => this.clearRows(run, rows));
  }

  clearOne(run, row) {
    const consequence = `${row.label}\nA new job, in the same run directory.`;
    this.confirm(`Run combination ${row.number} again?`, consequence, "Run again", () => this.clearRows(run, [row]));
  }

  /** Clear both tasks of each row, so that there is a new job, and the report, which is made again. */
  async clearRows({ tasks: { submit, wait, report } }, rows) {
    const tasks = rows.flatMap((row) => [submit, wait].map((task) => [task, row.index]));
    const body = { dry_run: false, dag_run_id: this.runId, only_failed: false, task_ids: [...tasks, report] };
    await call("POST", `dags/${encodeURIComponent(this.dagId)}/clearTaskInstances`, body);
  }

  cancelJob({ cancel_note: note }, row) {
    const path = this.path("taskInstances", row.task, row.index);
    const consequence = `${row.label}\nThe combination fails; its task ${row.task} is marked so in Airflow.`;
    const action = () => call("PATCH", path, { new_state: "failed", note });
    this.confirm(`Cancel the job of combination ${row.number}?`, consequence, "Cancel job", action);
  }

  cancelSweep({ all, ended, cancel_note: note }) {
    const left = all - ended === 1 ? "1 combination has" : `${all - ended} combinations have`;
    const jobs = "their jobs are cancelled, and no more are submitted";
    const consequence = `${left} not ended: ${jobs}. Airflow marks the Dag run failed.`;
    const action = () => call("PATCH", this.path(), { state: "failed", note });
    this.confirm("Cancel this run?", consequence, "Cancel sweep", action);
  }

  path(...parts) {
    return ["dags", this.dagId, "dagRuns", this.runId, ...parts].map(encodeURIComponent).join("/");
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
