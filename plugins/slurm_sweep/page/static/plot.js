// A metric against a parameter, a point for each combination. The table beside it has the same as text.

const [WIDTH, HEIGHT, LEFT, BOTTOM, EDGE] = [760, 260, 70, 30, 12]; // of the drawing's own units
const MARKS = 5;

/** Return a drawing of points {x, y, title}: x is text, read as a number where all are; y is a number. */
export function plot(points, xName, yName) {
  const x = axis(points.map((point) => point.x), LEFT, WIDTH - EDGE);
  const y = axis(points.map((point) => point.y), HEIGHT - BOTTOM, EDGE);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${yName} against ${xName}; the table has the numbers` });
  for (const { at, text } of x.marks) {
    drawing.append(svg("line", { x1: at, x2: at, y1: EDGE, y2: HEIGHT - BOTTOM }), svg("text", { x: at, y: HEIGHT - 10, "text-anchor": "middle" }, text));
  }
  for (const { at, text } of y.marks) {
    drawing.append(svg("line", { x1: LEFT, x2: WIDTH - EDGE, y1: at, y2: at }), svg("text", { x: LEFT - 8, y: at + 4, "text-anchor": "end" }, text));
  }
  for (const point of points) drawing.append(svg("circle", { cx: x.at(point.x), cy: y.at(point.y), r: 4 }, svg("title", {}, point.title)));
  return drawing;
}

/** Return where values go between two ends, and the marks: by name, by number, or by its logarithm where they span much. */
function axis(values, from, to) {
  const numbers = values.map(Number);
  if (values.some((value) => value === "") || numbers.some(Number.isNaN)) return names([...new Set(values)], from, to);
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  const logarithmic = least > 0 && most / least >= 50;
  const scale = logarithmic ? Math.log10 : (value) => value;
  const [low, high] = least === most ? [scale(least) - 1, scale(most) + 1] : [scale(least), scale(most)];
  const room = (high - low) * 0.06;
  const at = (value) => from + ((to - from) * (scale(Number(value)) - low + room)) / (high - low + 2 * room);
  const few = [...new Set(numbers)].sort((one, other) => one - other);
  const marked = few.length <= MARKS + 2 ? few : Array.from({ length: MARKS }, (_, place) => low + ((high - low) * place) / (MARKS - 1)).map((value) => (logarithmic ? 10 ** value : value));
  return { at, marks: marked.map((value) => ({ at: at(value), text: short(value) })) };
}

function names(known, from, to) {
  const at = (value) => from + ((to - from) * (known.indexOf(value) + 0.5)) / known.length;
  const each = Math.ceil(known.length / 8);
  return { at, marks: known.filter((_, place) => place % each === 0).map((value) => ({ at: at(value), text: value.length > 14 ? `${value.slice(0, 13)}…` : value })) };
}

/** Return a number in few digits: 0.123457, 1e-06. */
export const short = (value) => String(Number(value.toPrecision(6)));

function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
