// The page: the list of sweeps and runs, or one run, as its address says: ?dag_id=…&run_id=…

import * as address from "./address.js";
import { followTheme, h } from "./dom.js";
import { load } from "./airflow.js";
import { RunView } from "./run.js";
import { ListView } from "./list.js";

const LIVE = 3000; // milliseconds between two looks at what still runs; an unchanged run costs three short queries
const QUIET = 20000; // at what has ended: somebody may clear it

const view = address.get("run_id") ? new RunView(address.get("dag_id"), address.get("run_id"), () => follow()) : new ListView(address.get("dag_id"));
const main = document.getElementById("main");
const message = document.getElementById("message");
let etag = null;
let timer = null;
let looking = false;

/** Say what is wrong in a line above the page; nothing takes it away. */
function say(...parts) {
  message.replaceChildren(...parts);
  message.hidden = parts.length === 0;
}

async function follow() {
  if (looking) return;
  looking = true;
  clearTimeout(timer);
  let pause = QUIET;
  try {
    const found = await load(view.path, etag);
    if (found) {
      etag = found.etag;
      view.show(found.data);
      main.setAttribute("aria-busy", "false");
    }
    say();
    if (view.live) pause = LIVE;
  } catch (error) {
    if (error.status === 401) say("You are not logged in any more. Reload Airflow's page and log in.");
    else if (error.status === 403) say("You may not read this Dag's runs; ask who administers this Airflow.");
    else if (error.status === 404) say(error.message, " ", h("a", { href: "./" }, "All sweeps"));
    else {
      say(`Airflow does not answer (${error.message}); this page tries again.`);
      pause = LIVE;
    }
  }
  looking = false;
  if (!document.hidden) timer = setTimeout(follow, pause);
}

followTheme();
main.append(...view.elements);
main.className = view.name;
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : follow()));
follow();
