// The page: the list of sweeps and runs, one run, or several, as its address says: ?dag_id=…&run_id=…, ?run=…&run=…

import * as address from "./address.js";
import { load } from "./airflow.js";
import { CompareView } from "./compare.js";
import { followTheme, h } from "./dom.js";
import { ListView } from "./list.js";
import { RunView } from "./run.js";

const LIVE = 3000; // milliseconds between two requests while something runs; an unchanged run costs three short queries
const QUIET = 20000; // likewise when all has ended: somebody may clear it

const main = document.getElementById("main");
const message = document.getElementById("message");
let etag = null;
let timer = null;
let isLoading = false;

function viewOf(dagId, runId) {
  if (address.get("run")) return new CompareView(dagId, runId, () => refresh());
  return runId ? new RunView(dagId, runId, () => refresh()) : new ListView(dagId);
}

const view = viewOf(address.get("dag_id"), address.get("run_id"));

/** Show a message above the page; nothing hides it. */
function showMessage(...parts) {
  message.replaceChildren(...parts);
  message.hidden = parts.length === 0;
}

function errorMessage(error) {
  switch (error.status) {
    case 401:
      return ["You are not logged in any more. Reload Airflow's page and log in."];
    case 403:
      return ["You may not read this Dag's runs; ask an administrator of this Airflow."];
    case 404:
      return [error.message, " ", h("a", { href: "./" }, "All sweeps")];
    default:
      return [`Airflow does not answer (${error.message}); this page tries again.`];
  }
}

/** Load the data, show what has changed, and do it again after a pause. */
async function refresh() {
  if (isLoading) return;
  isLoading = true;
  clearTimeout(timer);
  let pause = QUIET;
  try {
    const answer = await load(view.path, etag);
    if (answer) {
      view.show(answer.data);
      etag = answer.etag; // not before: an error of what is shown would be hidden by the next 304
      main.setAttribute("aria-busy", "false");
    }
    showMessage();
    if (view.live) pause = LIVE;
  } catch (error) {
    showMessage(...errorMessage(error));
    if (![401, 403, 404].includes(error.status)) pause = LIVE;
  }
  isLoading = false;
  if (!document.hidden) timer = setTimeout(refresh, pause);
}

followTheme();
main.append(...view.elements);
main.className = view.name;
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
refresh();
