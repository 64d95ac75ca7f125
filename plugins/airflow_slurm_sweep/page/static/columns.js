// The columns of the table: what a cell shows, and what it is sorted by.

import { now } from "./airflow.js";
import { duration, h, moment, short } from "./dom.js";
import { range, strength } from "./scales.js";
import { stageClass } from "./stages.js";

/**
 * Return the table's columns.
 *
 * @param scales of each metric by its name; see scales()
 * @param cells {number(row), links(row)}: the content of the first and the last column
 */
export function columns(run, scales, cells) {
  const isQueued = (row) => queuedSeconds(row) !== "";
  return [
    {
      id: "number",
      title: "#",
      text: (row) => row.number,
      tip: (row) => row.name,
      cell: cells.number,
      class: "number",
      about: "The combination's number in its sweep",
    },
    ...run.parameters.map(parameterColumn),
    {
      id: "state",
      title: "State",
      text: causeText,
      tip: waitText,
      cell: (row) => inState(row, causeText(row)),
      raw: stateText,
      room: 4,
      value: (row) => run.stages.indexOf(row.stage),
    },
    ...run.metrics.map((metric) => metricColumn(metric, scales[metric.name], run)),
    ...jobColumns(run.combinations.some(isQueued)),
    ...HOURS.filter(({ id }) => run.combinations.some((row) => row[id] !== null)),
    {
      id: "actions",
      title: "",
      head: h("span", { class: "unseen" }, "Links"),
      sorts: false,
      text: () => "",
      width: (rows) => linksWidth(rows, run.may_edit),
      cell: cells.links,
      class: "actions",
    },
  ];
}

const HOURS = [
  ["gpu_hours", "GPU-hours"],
  ["cpu_hours", "CPU-hours"],
].map(([id, title]) => ({
  id,
  title,
  text: (row) => metricText(row[id] ?? ""),
  tip: (row) => row.used,
  value: (row) => row[id] ?? "",
  raw: (row) => row[id],
  class: "number",
  about: "What the combination's jobs used, by Slurm's accounting",
}));

const parameterColumn = ({ key, name, is_number: isNumber }, at) => ({
  id: `parameters.${key}`,
  title: name,
  text: (row) => row.parameters[at],
  about: key,
  class: isNumber ? "number" : "",
});

function metricColumn(metric, scale, run) {
  const { name, is_objective: isObjective, smaller_is_better: smallerIsBetter } = metric;
  const star = (attributes) => h("span", { class: "star", ...attributes }, "★ ");
  const head = () => [star({ "aria-hidden": "true" }), name, h("span", { class: "unseen" }, ", the objective")];
  const isBest = (row) => isObjective && row.index === run.best?.index;
  const bestCell = (row) => [star({ title: "the best", role: "img", "aria-label": "the best" }), text(row)];
  const text = (row) => metricText(row.metrics[name]);
  return {
    id: `metrics.${name}`,
    title: isObjective ? `★ ${name}` : name,
    head: isObjective ? h("span", {}, ...head()) : name,
    about: isObjective ? `${name}: the sweep's objective, to ${run.objective.goal}` : name,
    room: isObjective ? 3 : 0,
    descending: isObjective && !smallerIsBetter,
    text,
    value: (row) => (isObjective ? rankValue(row, smallerIsBetter) : (row.metrics[name] ?? "")),
    cell: (row) => (isBest(row) ? bestCell(row) : null),
    tip: (row) => row.metrics[name],
    raw: (row) => row.metrics[name],
    class: `number${isObjective ? " objective" : ""}`,
    style: (row) => shade(row.metrics[name], scale, smallerIsBetter),
  };
}

/** Return what sorts a combination like its value of the objective: rising with it, empty without a rank. */
const rankValue = (row, smallerIsBetter) => (row.rank === null ? "" : smallerIsBetter ? row.rank : -row.rank);

function jobColumns(withQueued) {
  const queued = {
    id: "queued",
    title: "Queued",
    text: (row) => durationText(queuedSeconds(row)),
    value: queuedSeconds,
    raw: (row) => wholeSeconds(queuedSeconds(row)),
    cell: queuedCell,
    class: "number",
    about: "How long the job waited in Slurm's queue",
  };
  return [
    {
      id: "job",
      title: "Job id",
      text: (row) => row.job_id,
      tip: (row) => row.log_path,
      about: "Slurm's job id; hover over one for the path of its log",
    },
    { id: "nodes", title: "Nodes", text: (row) => row.nodes },
    ...(withQueued ? [queued] : []),
    {
      id: "time",
      title: "Run time",
      text: (row) => durationText(runSeconds(row)),
      tip: (row) => row.elapsed,
      value: runSeconds,
      raw: (row) => wholeSeconds(runSeconds(row)),
      cell: timeCell,
      class: "number",
      about: "Of the job; since its submission while it is in Slurm and its start is not known",
    },
  ];
}

/** Return the least and the largest number of each metric, by its name. */
export const scales = (run) =>
  Object.fromEntries(run.metrics.map(({ name }) => [name, range(run.combinations.map((row) => row.metrics[name]))]));

function shade(value, scale, smallerIsBetter) {
  if (!scale || !Number.isFinite(value) || scale[0] === scale[1]) return null;
  const percent = Math.round(45 * strength(value, scale, smallerIsBetter));
  return `background-color: color-mix(in srgb, var(--scale) ${percent}%, var(--back))`;
}

export const metricText = (value) => (typeof value === "number" ? short(value) : (value ?? ""));

const stateText = (row) => (row.reason ? `${row.state} (${row.reason})` : row.state);

/** Return a state with what the job waits for, and when Slurm expects it to start. */
const waitText = (row) => {
  const start = row.expected_start && `Slurm expects it to start at ${moment(row.expected_start)}`;
  return [stateText(row), row.why, row.cause, start].filter(Boolean).join("; ");
};

/** Return a state with the cause of a failure, which says more than Slurm's reason. */
const causeText = (row) => (row.cause ? `${row.state}: ${row.cause}` : stateText(row));

const inState = (row, text) => h("span", { class: `state ${stageClass(row.stage)}` }, text);

export const stateCell = (row) => inState(row, stateText(row));

const elapsedSince = (time) => (time === null ? "" : now() - time);

const runSeconds = (row) => row.ran ?? elapsedSince(row.running_since);

const queuedSeconds = (row) => (row.pending_since === null ? (row.queued ?? "") : elapsedSince(row.pending_since));

const wholeSeconds = (seconds) => (seconds === "" ? "" : Math.round(seconds));

const durationText = (seconds) => (seconds === "" ? "" : duration(seconds));

/** Return a time that goes on by itself; see RunView.tick. */
const runningTime = (since, about) =>
  h("span", { class: "quiet", "data-since": since, title: about }, duration(now() - since));

export function timeCell(row) {
  if (row.running_since === null) return row.ran === null ? row.elapsed : duration(row.ran);
  return runningTime(row.running_since, row.stage === "running" ? "since its start" : "since its submission");
}

export function queuedCell(row) {
  if (row.pending_since === null) return durationText(queuedSeconds(row));
  return runningTime(row.pending_since, "since its submission");
}

/** Return how wide the links and buttons of a row are, in digits. */
function linksWidth(rows, mayEdit) {
  const has = (action) => mayEdit && rows.some((row) => row.action === action);
  const button = has("fail") || has("clear") ? 12 : 0;
  return 6 + button + (rows.some((row) => row.wandb) ? 5 : 0);
}

/** Return what tells whether a row has all words of a filter: lr=1e-06 failed. */
export function wordFilter(run, text) {
  const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const tests = words.map((word) => wordTest(run, word));
  return (row) => tests.every((test) => test(row));
}

function wordTest(run, word) {
  const [, key, wanted] = /^([^=]*)=(.*)$/.exec(word) ?? [];
  const at = key === undefined ? -1 : parameterAt(run, key);
  if (at < 0) return (row) => searchTexts(row).some((text) => text.toLowerCase().includes(word));
  const value = (row) => row.parameters[at].toLowerCase();
  const isExact = run.combinations.some((row) => value(row) === wanted);
  return (row) => (isExact ? value(row) === wanted : value(row).startsWith(wanted));
}

/** Return the place of the parameter with a key, or else a title, or an ending of its key, in small letters, or -1. */
function parameterAt(run, key) {
  const names = run.parameters.map((parameter) => [parameter.key.toLowerCase(), parameter.name.toLowerCase()]);
  const tests = [([whole]) => whole === key, ([, title]) => title === key, ([whole]) => whole.endsWith(`.${key}`)];
  return tests.map((test) => names.findIndex(test)).find((at) => at >= 0) ?? -1;
}

const searchTexts = (row) => [
  row.name,
  row.label,
  row.stage,
  stateText(row),
  causeText(row),
  row.job_id,
  row.nodes,
  ...row.parameters,
];
