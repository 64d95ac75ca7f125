// The places of values on an axis, and how strong their colours are. A value is a number, or text from the sweep.

import { short } from "./dom.js";

const MARKS = 6; // of an axis, about

/** Return a value as a finite number, or NaN. */
export const number = (value) => (value === "" || !Number.isFinite(Number(value)) ? NaN : Number(value));

/** Return the least and the largest number, or null if there is none. */
export function range(values) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return least <= most ? [least, most] : null;
}

/** Return how good a number is within a range, from 0, the worst, to 1, the best. */
export function strength(value, [least, most], smallerIsBetter) {
  if (least === most) return 1;
  const part = (value - least) / (most - least);
  return smallerIsBetter ? 1 - part : part;
}

/** Return an axis' kind: "names" if not all are numbers, "log" if all are positive and span two decades, "linear". */
export function kindOf(values) {
  const numbers = values.map(number);
  if (numbers.some(Number.isNaN)) return "names";
  const [least, most] = range(numbers);
  return least > 0 && Math.log10(most / least) > 2 - 1e-9 ? "log" : "linear";
}

/** Return the different values: numbers in rising order, names in the sweep's order. */
export function distinct(values) {
  const found = [...new Set(values)];
  return kindOf(found) === "names" ? found : found.sort((one, other) => Number(one) - Number(other));
}

/**
 * Return an axis for values, at least one, between two places.
 *
 * @param most length of a mark's text, in characters
 * @param kind as kindOf() returns it
 * @returns {at(value), marks: {at, text}[], kind}
 */
export function axis(values, from, to, most = 14, kind = kindOf(values)) {
  if (kind === "names") return { ...names(distinct(values), from, to, most), kind };
  const [least, largest] = range(values.map(Number));
  const scale = kind === "log" ? Math.log10 : (value) => value;
  const alone = least === largest ? Math.abs(least) / 2 || 1 : 0;
  const [low, high] = [scale(least) - alone, scale(largest) + alone];
  const room = (high - low) * 0.06;
  const at = (value) => from + ((to - from) * (scale(Number(value)) - low + room)) / (high - low + 2 * room);
  const different = distinct(values);
  // A few values of a sweep are marked as they stand there. Measured values are not round, so the axis has round marks.
  const areFew = different.length <= MARKS && different.every((value) => typeof value === "string");
  // Within a decade or so, powers of ten would leave an axis without numbers.
  const ticks = kind === "log" && Math.floor(high) - Math.ceil(low) > 0 ? powers(low, high) : steps(least, largest);
  const marked = different.length === 1 || areFew ? different : ticks;
  const text = (value) => (typeof value === "number" ? short(value) : value);
  return { at, kind, marks: marked.map((value) => ({ at: at(value), text: text(value) })) };
}

/** Return round numbers between two: 1, 2 or 5 times a power of ten apart. */
function steps(least, most) {
  const rough = (most - least) / (MARKS - 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
  const first = Math.ceil(least / step - 1e-9);
  return Array.from({ length: Math.floor(most / step + 1e-9) - first + 1 }, (_, place) => (first + place) * step);
}

/** Return powers of ten between two exponents. */
function powers(low, high) {
  const [first, last] = [Math.ceil(low - 1e-9), Math.floor(high + 1e-9)];
  const each = Math.ceil((last - first + 1) / MARKS);
  return Array.from({ length: Math.floor((last - first) / each) + 1 }, (_, place) => 10 ** (first + place * each));
}

function names(known, from, to, most) {
  const places = new Map(known.map((value, place) => [value, from + ((to - from) * (place + 0.5)) / known.length]));
  const each = Math.ceil(known.length / 8);
  const marked = known.filter((_, place) => place % each === 0);
  const mark = (value) => ({ at: places.get(value), text: clipped(value || "(none)", most) });
  return { at: (value) => places.get(value), marks: marked.map(mark) };
}

/** Return a text of at most that many characters. */
export const clipped = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
