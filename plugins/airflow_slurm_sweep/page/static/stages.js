// The stages of a combination, as data.py counts them, and the bar that shows how many are where.

import { h } from "./dom.js";

// Where Slurm's own word is known, "in Slurm" is one of the two before it.
export const STAGES = ["succeeded", "failed", "skipped", "running", "pending", "in Slurm", "submitting", "waiting"];
const PENDING = /^(PENDING|REQUEUE|SPECIAL_EXIT|RESV_DEL_HOLD)/;

export const css = (stage) => stage.replace(" ", "-").toLowerCase();

/** Return which of STAGES a combination is in. */
export function stageOf(row) {
  if (row.stage !== "in Slurm" || !row.slurm) return row.stage;
  return PENDING.test(row.slurm) ? "pending" : "running";
}

const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);

/** Return how many have ended, of how many. */
export function ended(counts) {
  return [(counts.succeeded ?? 0) + (counts.failed ?? 0) + (counts.skipped ?? 0), sum(counts)];
}

/** Return the counts as text: 3 succeeded, 1 failed. */
export function counted(counts) {
  const parts = STAGES.filter((stage) => counts[stage]).map((stage) => `${counts[stage]} ${stage}`);
  return parts.join(", ") || "none yet";
}

/** Return the bar. */
export function bar(counts, size = "") {
  const [done, all] = ended(counts);
  const parts = STAGES.filter((stage) => counts[stage]).map((stage) => {
    const part = h("span", { class: css(stage) });
    part.style.width = `${(100 * counts[stage]) / all}%`;
    return part;
  });
  const values = { "aria-valuemin": 0, "aria-valuemax": all, "aria-valuenow": done, "aria-valuetext": `${done} of ${all} ended: ${counted(counts)}` };
  return h("div", { class: `bar ${size}`, role: "progressbar", "aria-label": "Combinations that have ended", ...values }, ...parts);
}
