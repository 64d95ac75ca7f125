// A metric over a run's combinations in the order in which they ended, and the best so far as a line.

import { scatter } from "./plot.js";

/**
 * Return the drawing.
 *
 * @param points as scatter() takes them, of combinations that have ended; one that did not succeed is no best one
 * @returns what scatter() returns
 */
export function progress(points, { y, width, smallerIsBetter }) {
  const order = points.toSorted((one, other) => one.row.ended - other.row.ended);
  const isBetter = (value, best) => best === null || (smallerIsBetter ? value < best : value > best);
  const line = [];
  let best = null;
  for (const [at, point] of order.entries()) {
    const x = at + 1;
    if (best !== null) line.push([x, best]);
    if ((point.row.stage === "succeeded" || point.row.is_done_earlier) && isBetter(point.y, best)) {
      best = point.y;
      line.push([x, best]);
    }
    point.x = x;
  }
  return scatter(points, { x: "the number of ended combinations", y, width, line, kind: "linear" });
}
