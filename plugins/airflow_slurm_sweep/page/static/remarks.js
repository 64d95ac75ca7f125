// What is to be said of a run above its table: notes, where it comes from, why jobs wait for help, why they failed.

import { h } from "./dom.js";

const KINDS = 5; // of failures that are shown

export class Remarks {
  constructor() {
    this.note = h("p", { class: "note", hidden: true });
    this.origin = h("p", { class: "note quiet", hidden: true });
    this.stuck = h("p", { class: "stuck", role: "status", hidden: true });
    this.failures = h("ul", { class: "failures", "aria-label": "Why combinations failed", hidden: true });
    this.element = h("div", { class: "remarks" }, this.stuck, this.failures, this.note, this.origin);
  }

  show(run) {
    say(this.note, run.note && `Note: ${run.note}`);
    say(this.origin, originText(run));
    say(this.stuck, run.stuck.map((sentence) => `${sentence}.`).join(" "));
    this.failures.hidden = run.failures.length === 0;
    this.failures.replaceChildren(...run.failures.slice(0, KINDS).map((text) => h("li", {}, text)));
  }
}

/** Set an element's text if it is another one: screen readers read each change out. */
function say(element, text) {
  element.hidden = !text;
  if (element.textContent !== text) element.textContent = text;
}

/** Return where a run comes from: the commit, the form's overrides, what is the same in all combinations. */
function originText({ origin: { revision, overrides = [] }, constants }) {
  const same = Object.entries(constants).map(([key, value]) => `${key}=${value}`);
  const parts = [
    revision,
    overrides.length > 0 && `overrides ${overrides.join(" ")}`,
    same.length > 0 && `constants ${same.join(" ")}`,
  ];
  return parts.filter(Boolean).join("; ");
}
