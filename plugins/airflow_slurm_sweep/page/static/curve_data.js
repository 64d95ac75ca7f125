// The curves of a run, of one metric at a time, and what their colours mean.

import { load } from "./airflow.js";
import { short } from "./dom.js";
import { axis } from "./scales.js";

const PAUSE = 3000; // milliseconds until curves that did not come are asked for again

export class CurveData {
  /**
   * @param path of the curves, with a query
   * @param changed called when there are new curves, or an error in their place
   */
  constructor(path, changed) {
    Object.assign(this, { path, changed, metrics: [], metric: "", curves: {}, error: "", etag: null });
  }

  /** Ask for the curves of a metric, unless this run's state has been asked for it already. */
  async want(metric, run) {
    if (this.asked?.run === run && [this.asked.metric, this.metric].includes(metric)) return;
    const isOther = metric !== this.metric;
    this.asked = { run, metric };
    try {
      const path = `${this.path}&${new URLSearchParams({ metric })}`;
      const answer = await load(path, isOther ? null : this.etag);
      if (this.asked.metric !== metric) return; // the reader has selected another one meanwhile
      if (answer) Object.assign(this, answer.data, { etag: answer.etag });
      this.error = "";
    } catch (error) {
      this.error = `Airflow does not answer (${error.message}); this page tries again.`;
      setTimeout(() => this.again(), PAUSE);
    }
    this.changed();
  }

  again() {
    this.asked = null;
    this.changed();
  }

  /** Return the combinations that have a curve, as the drawing takes them; see colours() and matches(row). */
  points(run, colour, matches) {
    const metric = run.metrics.find(({ name }) => name === this.metric);
    const rows = run.combinations.filter(({ index }) => index in this.curves);
    return rows.map((row) => {
      const [steps, values] = this.curves[row.index];
      const last = values.at(-1);
      return {
        row,
        steps,
        values,
        y: last,
        strength: colour(row),
        matches: matches(row),
        best: Boolean(metric?.is_objective) && row.index === run.best?.index,
        title: `#${row.number} ${row.label}: ${this.metric} ${short(last)} at step ${short(steps.at(-1))}`,
      };
    });
  }

  /**
   * Return what gives a combination its colour, from 0 to 1, and what the colours mean.
   *
   * @param key a parameter's, or "" for the order of the last values
   * @returns {of(row), marks: {at, text}[]}
   */
  colours(run, key) {
    const rows = run.combinations.filter(({ index }) => index in this.curves);
    const at = run.parameters.findIndex((parameter) => parameter.key === key);
    if (at >= 0 && rows.length) {
      const scale = axis(
        rows.map((row) => row.parameters[at]),
        0,
        1,
        24,
      );
      return { of: (row) => scale.at(row.parameters[at]), marks: scale.marks };
    }
    const metric = run.metrics.find(({ name }) => name === this.metric);
    const last = ({ index }) => this.curves[index][1].at(-1) * (metric?.smaller_is_better ? -1 : 1);
    const order = rows.toSorted((one, other) => last(one) - last(other));
    const places = new Map(order.map((row, place) => [row, rows.length > 1 ? place / (rows.length - 1) : 1]));
    const [low, high] = metric?.is_objective ? ["worst", "best"] : ["smallest", "largest"];
    const marks = [
      { at: 0, text: low },
      { at: 1, text: high },
    ];
    return { of: (row) => places.get(row), marks };
  }
}
