// What the sweep is about: the metric by which its combinations are ranked, if it has one.

import { short } from "./dom.js";

/** Return the metrics' names, the objective's first. */
export function metricNames(run) {
  const first = run.objective?.metric;
  return run.metrics.includes(first) ? [first, ...run.metrics.filter((name) => name !== first)] : run.metrics;
}

/** Return whether smaller numbers of a metric are the better ones; of all but the objective larger ones are taken for it. */
export const smaller = (run, name) => run.objective?.metric === name && run.objective.goal === "minimize";

/** Return what a combination is ranked by; "" where it did not succeed or left no such number. */
export function rankedBy(run, row) {
  const value = row.metrics[run.objective.metric];
  return row.stage === "succeeded" && Number.isFinite(value) ? value : "";
}

/** Return the best combination so far; null without an objective, or before one has its number. */
export function best(run) {
  if (!run.objective) return null;
  const sign = run.objective.goal === "minimize" ? -1 : 1;
  let found = null;
  for (const row of run.combinations) {
    const value = rankedBy(run, row);
    if (value !== "" && (!found || sign * value > sign * rankedBy(run, found))) found = row;
  }
  return found;
}

/** Return in words what the best one has: reward 0.93 with lr=1e-6. */
export function said(run, row) {
  return `${run.objective.metric} ${short(rankedBy(run, row))}${row.label ? ` with ${row.label}` : ""}`;
}
