// The stages of combinations, as stages.py counts them: the bar, the numbers as text, the class of a stage.

import { h } from "./dom.js";

/** Return the class of a stage, as page.css has it. */
export const stageClass = (stage) => stage.replace(" ", "-").toLowerCase();

/** Return the counts of a run as text: 3 succeeded, 1 failed. */
export function countsText(counts) {
  const parts = Object.entries(counts).map(([stage, count]) => `${count} ${stage}`);
  return parts.join(", ") || "none yet";
}

/** Return the bar of a run: {counts, ended, all}. */
export function bar({ counts, ended, all }, size = "") {
  const parts = Object.entries(counts).map(([stage, count]) => {
    const part = h("span", { class: stageClass(stage) });
    part.style.width = `${(100 * count) / all}%`;
    return part;
  });
  const values = {
    "aria-valuemin": 0,
    "aria-valuemax": all,
    "aria-valuenow": ended,
    "aria-valuetext": `${ended} of ${all} ended: ${countsText(counts)}`,
  };
  const label = "Combinations that have ended";
  return h("div", { class: `bar ${size}`, role: "progressbar", "aria-label": label, ...values }, ...parts);
}
