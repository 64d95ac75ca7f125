// What the table says of a combination, column by column.

import { now } from "./airflow.js";
import { duration, h, seconds, short } from "./dom.js";
import { metricNames, rankedBy, smaller } from "./objective.js";
import { range, strength } from "./scales.js";
import { STAGES, css, stageOf } from "./stages.js";

/**
 * Return the table's columns.
 *
 * @param shown {scales, best}: of the run as it is now; the functions of the columns look there
 * @param parts {number(row), links(row)}: the content of the first and the last column
 */
export function columns(run, shown, parts) {
  return [
    { id: "number", title: "#", text: (row) => row.number, tip: (row) => row.name, cell: parts.number, class: "number", about: "The combination's number in its sweep" },
    ...run.parameters.map((key, at) => ({
      id: `parameters.${key}`,
      title: shortest(key, run.parameters),
      text: (row) => row.parameters[at] ?? "",
      about: key,
      class: run.combinations.every((row) => !Number.isNaN(Number(row.parameters[at] ?? ""))) ? "number" : "",
    })),
    { id: "state", title: "State", text: stateText, cell: stateCell, room: 4, value: (row) => STAGES.indexOf(stageOf(row)) },
    ...metricNames(run).map((name) => metricColumn(run, name, shown)),
    { id: "job", title: "Job id", text: (row) => row.job_id, tip: (row) => row.log_path, about: "Slurm's; hover over one for its log's path" },
    { id: "nodes", title: "Nodes", text: (row) => row.nodes },
    ...(run.combinations.some((row) => queued(row) !== "") ? [{ id: "queued", title: "Queued", text: (row) => durationText(queued(row)), value: queued, cell: queuedCell, class: "number", about: "How long the job waited in Slurm's queue" }] : []),
    { id: "time", title: "Run time", text: (row) => durationText(runTime(row)), tip: (row) => row.elapsed, value: runTime, cell: timeCell, class: "number", about: "Of the job; while it is in Slurm and its start is not known, since it was submitted" },
    { id: "actions", title: "", head: h("span", { class: "unseen" }, "Links"), sorts: false, text: () => "", width: (rows) => actionsWidth(rows, run.may_edit), cell: parts.links, class: "actions" },
  ];
}

function metricColumn(run, name, shown) {
  const objective = run.objective?.metric === name;
  const star = objective && h("span", { "aria-hidden": "true", class: "star" }, "★ ");
  return {
    id: `metrics.${name}`,
    title: objective ? `★ ${name}` : name,
    head: objective ? h("span", {}, star, name, h("span", { class: "unseen" }, ", the objective")) : name,
    about: objective ? `${name}: the sweep's objective, to ${run.objective.goal}` : name,
    room: objective ? 3 : 0,
    descending: objective && run.objective.goal !== "minimize",
    text: (row) => metricText(row.metrics[name]),
    // What failed is not ranked by the objective.
    value: objective ? (row) => rankedBy(run, row) : (row) => row.metrics[name] ?? "",
    cell: (row) => (objective && row.index === shown.best?.index ? [h("span", { class: "star", title: "the best", role: "img", "aria-label": "the best" }, "★ "), metricText(row.metrics[name])] : null),
    tip: (row) => row.metrics[name],
    class: `number${objective ? " objective" : ""}`,
    style: (row) => shade(row.metrics[name], shown.scales[name], smaller(run, name)),
  };
}

/** Return each metric's least and largest number. */
export const scales = (run) => Object.fromEntries(run.metrics.map((name) => [name, range(run.combinations.map((row) => row.metrics[name]))]));

function shade(value, span, less) {
  if (!span || !Number.isFinite(value) || span[0] === span[1]) return null;
  return `background-color: color-mix(in srgb, var(--scale) ${Math.round(45 * strength(value, span, less))}%, var(--back))`;
}

export const metricText = (value) => (typeof value === "number" ? short(value) : (value ?? ""));

/** Return a key's last part, or all of it where two parameters end alike. */
export function shortest(key, keys) {
  const last = (name) => name.split(".").at(-1);
  return keys.filter((name) => last(name) === last(key)).length === 1 ? last(key) : key;
}

/** Return a combination's state in words: Slurm's where it said one. */
export function stateText(row) {
  if (row.slurm) return row.reason && row.reason !== row.slurm ? `${row.slurm} (${row.reason})` : row.slurm;
  if (row.stage === "failed") return row.task_state === "upstream_failed" ? "not submitted" : `${row.task.split(".").at(-1)} failed`;
  return row.stage === "waiting" && row.task_state && row.task_state !== "scheduled" ? `waiting (${row.task_state})` : row.stage;
}

export const stateCell = (row) => h("span", { class: `state ${css(stageOf(row))}` }, stateText(row));

/** Return since when a job in Slurm runs; null if it does not, or nobody knows. Without Slurm's word its submission is what is known. */
const runningSince = (row) => (row.stage === "in Slurm" ? (row.started ?? (stageOf(row) === "in Slurm" ? row.submitted : null)) : null);

const pendingSince = (row) => (stageOf(row) === "pending" ? row.submitted : null);

function runTime(row) {
  if (row.elapsed) return seconds(row.elapsed);
  return runningSince(row) ? now() - runningSince(row) : "";
}

const queued = (row) => (pendingSince(row) ? now() - pendingSince(row) : (row.queued ?? ""));

const durationText = (value) => (value === "" ? "" : Number.isNaN(value) ? "00:00:00" : duration(value));

/** Return a time that goes on by itself; see RunView.tick. */
const counting = (since, about) => h("span", { class: "quiet", "data-since": since, title: about }, duration(now() - since));

export function timeCell(row) {
  if (row.elapsed) return Number.isNaN(seconds(row.elapsed)) ? row.elapsed : duration(seconds(row.elapsed));
  return runningSince(row) ? counting(runningSince(row), row.started ? "since it began" : "since it was submitted") : "";
}

export function queuedCell(row) {
  return pendingSince(row) ? counting(pendingSince(row), "since it was submitted") : durationText(queued(row));
}

/** Return how wide the links and buttons of a row are, in digits. */
function actionsWidth(rows, mayEdit) {
  const some = (...stages) => mayEdit && rows.some((row) => stages.includes(row.stage));
  const button = some("submitting", "in Slurm") ? 12 : some("succeeded", "failed") ? 8 : 0;
  return 6 + button + (rows.some((row) => row.wandb) ? 5 : 0);
}

/** Return all that the filter looks at. */
export const words = (row) => [row.name, row.label, row.stage, stageOf(row), stateText(row), row.job_id, row.nodes, ...row.parameters];
