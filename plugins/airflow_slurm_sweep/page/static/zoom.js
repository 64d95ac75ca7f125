// The range of steps that the curves show: dragged over in the drawing, or chosen with + - 0 and Shift with an arrow.

import { svg } from "./dom.js";
import { BOTTOM, EDGE, HEIGHT } from "./plot.js";

const CLICK = 5; // pixels: less is no drag

export class Zoom {
  /**
   * @param text the range as the address has it: 100,500
   * @param changed called when there is another one
   */
  constructor(text, changed) {
    const ends = text.split(",").map(Number);
    const isRange = ends.length === 2 && ends.every(Number.isFinite) && ends[0] < ends[1];
    this.range = isRange ? ends : null; // null for all steps
    Object.assign(this, { changed, from: null, isDrag: false });
    this.band = svg("rect", { class: "band", y: EDGE, height: HEIGHT - BOTTOM - EDGE });
  }

  get text() {
    return this.range?.join() ?? "";
  }

  /** Show a range, rounded to what can be told apart; null for all steps. */
  set(range) {
    const unit = range && 10 ** Math.floor(Math.log10((range[1] - range[0]) / 200));
    const ends = range?.map((step) => Number((Math.round(step / unit) * unit).toPrecision(12))) ?? null;
    if (String(ends) === String(this.range) || (ends && ends[0] >= ends[1])) return;
    this.range = ends;
    this.changed();
  }

  /** Begin a drag at a place of the drawing. */
  begin(left) {
    Object.assign(this, { from: left, isDrag: false });
  }

  /** Show the band of a drag; return whether there is one. */
  drag(left) {
    if (this.from === null) return false;
    this.isDrag ||= Math.abs(left - this.from) >= CLICK;
    if (!this.isDrag) return false;
    this.band.setAttribute("x", Math.min(left, this.from));
    this.band.setAttribute("width", Math.abs(left - this.from));
    return true;
  }

  /** End a drag; `stepAt` of a drawing gives the step at a place of it. */
  end(left, stepAt) {
    const ends = this.from !== null && this.isDrag && [stepAt(this.from), stepAt(left)].sort((one, two) => one - two);
    this.stop();
    if (ends && ends[0] < ends[1]) this.set(ends);
  }

  stop() {
    this.from = null;
    this.band.setAttribute("width", 0);
  }

  /** Do what a key does to the range that is shown, within that of all steps; return whether it does something. */
  press({ key, shiftKey }, [low, high], [least, most]) {
    const part = (high - low) / 4;
    const by = { ArrowLeft: Math.max(-part, least - low), ArrowRight: Math.min(part, most - high) }[shiftKey && key];
    if (by !== undefined) this.set(by ? [low + by, high + by] : this.range);
    else if (key === "+" || key === "=") this.set([low + part, high - part]);
    else if (key === "-") this.set(within([low - 2 * part, high + 2 * part], [least, most]));
    else if (key === "0" || key === "Escape") this.set(null);
    else return false;
    return true;
  }
}

const within = ([low, high], [least, most]) =>
  low <= least && high >= most ? null : [Math.max(low, least), Math.min(high, most)];
