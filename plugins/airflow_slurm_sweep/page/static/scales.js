// Where values go on an axis, and how strong their colour is. Values are numbers, or text as it stands in the sweep.

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

/** Return how good a number is among others, from 0 to 1: the larger, or the smaller, the better. */
export function strength(value, [least, most], smaller = false) {
  if (least === most) return 1;
  const part = (value - least) / (most - least);
  return smaller ? 1 - part : part;
}

/** Return an axis' kind: "names" where not all are numbers, "log" where all are positive and span two decades, else "linear". */
export function kindOf(values) {
  const numbers = values.map(number);
  if (numbers.some(Number.isNaN)) return "names";
  const [least, most] = range(numbers);
  return least > 0 && Math.log10(most / least) > 2 - 1e-9 ? "log" : "linear";
}

/** Return the values that differ: numbers in their order, names in that of the sweep. */
export function distinct(values) {
  const found = [...new Set(values)];
  return kindOf(found) === "names" ? found : found.sort((one, other) => Number(one) - Number(other));
}

/**
 * Return an axis for values (one at least) between two places.
 *
 * @param most of a mark's text, in characters
 * @returns {at(value), marks: {at, text}[], kind}
 */
export function axis(values, from, to, most = 14) {
  const kind = kindOf(values);
  if (kind === "names") return { ...names(distinct(values), from, to, most), kind };
  const [least, largest] = range(values.map(Number));
  const scale = kind === "log" ? Math.log10 : (value) => value;
  const alone = least === largest ? Math.abs(least) / 2 || 1 : 0;
  const [low, high] = [scale(least) - alone, scale(largest) + alone];
  const room = (high - low) * 0.06;
  const at = (value) => from + ((to - from) * (scale(Number(value)) - low + room)) / (high - low + 2 * room);
  const few = distinct(values);
  // Values of a sweep are marked as they stand there, where they are few; measured ones are not round.
  const own = few.length === 1 || (few.length <= MARKS && few.every((value) => typeof value === "string"));
  const marked = own ? few : kind === "log" ? powers(low, high) : steps(least, largest);
  return { at, kind, marks: marked.map((value) => ({ at: at(value), text: typeof value === "number" ? short(value) : value })) };
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
  const marks = known.filter((_, place) => place % each === 0).map((value) => ({ at: places.get(value), text: clipped(value || "(none)", most) }));
  return { at: (value) => places.get(value), marks };
}

/** Return text that is not longer than so many characters. */
export const clipped = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
