// A table of thousands of rows, sorted and filtered; only the rows on the screen are in the document.

import { h, onceAFrame } from "./dom.js";

const ROW = 33; // pixels, as in page.css
const MORE = 12; // rows above and below the screen
const TITLE = 14; // characters of a column's head that make it wider

const collator = new Intl.Collator(undefined, { numeric: true });

const isEmpty = (value) => value === "" || value === null || value === undefined || Number.isNaN(value);

function compare(one, other) {
  const numbers = [Number(one), Number(other)];
  if (!numbers.some(Number.isNaN)) return numbers[0] - numbers[1];
  return collator.compare(one, other);
}

export class Table {
  /** @param options {key(row), label, sort({id, descending}): what a click on a head does} */
  constructor({ key, label, sort }) {
    Object.assign(this, { key, sort, columns: [], rows: [], visible: [], drawn: new Map(), sorted: null, marks: {} });
    this.drawSoon = onceAFrame(() => this.draw());
    this.matches = () => true;
    this.group = h("colgroup");
    this.head = h("tr", { "aria-rowindex": 1 });
    this.above = h("tr", { class: "space", "aria-hidden": "true" }, h("td"));
    this.below = h("tr", { class: "space", "aria-hidden": "true" }, h("td"));
    this.body = h("tbody", {}, this.above, this.below);
    this.table = h("table", {}, h("caption", {}, label), this.group, h("thead", {}, this.head), this.body);
    const region = { class: "scroll", role: "region", "aria-label": label, tabindex: 0 };
    this.element = h("div", { ...region, scroll: this.drawSoon }, this.table);
    new ResizeObserver(() => this.drawSoon()).observe(this.element);
  }

  /**
   * Set the columns. The heads stay in the document unless they change.
   *
   * @param columns {id, title, head?, about?, class?, sorts?, descending?: how a first click sorts, text(row),
   *   value(row)?: what it sorts by, raw(row)?: what a file has, cell(row)?: its content, tip(row)?, style(row)?,
   *   width(rows)?,
   *   room?: digits that it takes besides its text}[]
   */
  setColumns(columns) {
    const shape = JSON.stringify(columns);
    this.columns = columns;
    if (shape === this.shape) return;
    this.shape = shape;
    const focused = this.head.contains(document.activeElement) && document.activeElement.dataset.column;
    this.drawn.clear();
    this.widths = columns.map(() => h("col"));
    this.group.replaceChildren(...this.widths);
    this.head.replaceChildren(...columns.map((column) => this.headOf(column)));
    for (const space of [this.above, this.below]) space.firstChild.colSpan = columns.length;
    if (focused) {
      this.head.querySelector(`[data-column="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    }
  }

  headOf(column) {
    const { id, about, sorts = true, descending = false } = column;
    const content = column.head ?? column.title;
    const click = () => {
      const isAgain = this.sorted?.id === id;
      this.sort({ id, descending: isAgain ? !this.sorted.descending : descending });
    };
    const button = () => h("button", { type: "button", title: about, "data-column": id, click }, content);
    return h("th", { scope: "col", class: column.class }, sorts ? button() : content);
  }

  /**
   * Show rows; those that are as before keep their place in the document.
   *
   * @param matches(row): whether the row is visible
   * @param sorted {id, descending} or null: by which column; an unknown one sorts nothing
   * @param marks {class: key}: rows that look otherwise
   * @param stamp text that changes where cells change without their rows
   */
  update(rows, { matches, sorted, marks, stamp }) {
    const isNew = rows !== this.rows || stamp !== this.stamp;
    Object.assign(this, { rows, matches, sorted, marks, stamp });
    this.columns.forEach((column, place) => {
      const head = this.head.children[place];
      if (sorted?.id === column.id) head.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.arrange();
    if (isNew) this.measure();
    this.draw();
  }

  arrange() {
    this.visible = this.rows.filter(this.matches);
    const column = this.columns.find(({ id }) => id === this.sorted?.id);
    if (column) {
      const value = column.value ?? column.text;
      const sign = this.sorted.descending ? -1 : 1;
      const pairs = this.visible.map((row) => [row, value(row)]);
      // Empty values come last in both directions.
      pairs.sort(([, one], [, other]) =>
        isEmpty(one) || isEmpty(other) ? isEmpty(one) - isEmpty(other) : sign * compare(one, other),
      );
      this.visible = pairs.map(([row]) => row);
    }
    this.table.setAttribute("aria-rowcount", this.visible.length + 1);
  }

  /** Make columns as wide as the content of all rows, also those off the screen: scrolling moves none. */
  measure() {
    const widthOf = (column) => {
      const head = Math.min(TITLE, column.title.length) + 2;
      return Math.min(32, Math.max(head, longest(this.rows, column.text) + (column.room ?? 0))) + 2;
    };
    const widths = this.columns.map((column) => column.width?.(this.rows) ?? widthOf(column));
    widths.forEach((width, index) => {
      this.widths[index].style.width = `${width}ch`;
    });
    this.table.style.minWidth = `${widths.reduce((sum, width) => sum + width, 0)}ch`;
  }

  /** Scroll to a row, if the filter leaves it. */
  reveal(key) {
    const at = this.visible.findIndex((row) => this.key(row) === key);
    if (at < 0) return;
    const top = at * ROW;
    const height = this.element.clientHeight - 2 * ROW;
    const { scrollTop } = this.element;
    if (top < scrollTop || top > scrollTop + height) this.element.scrollTop = top - height / 2;
    this.draw();
  }

  /** Move the focus to a row's link or button of that name, if the row is on the screen. */
  focus(key, name) {
    this.drawn.get(key)?.tr.querySelector(`[data-name="${name}"]`)?.focus({ preventScroll: true });
  }

  /** Give a class to the row with this key only. */
  mark(name, key) {
    this.marks = { ...this.marks, [name]: key };
    for (const [each, { tr }] of this.drawn) tr.classList.toggle(name, each === key);
  }

  draw() {
    const { scrollTop, scrollLeft, clientWidth, clientHeight, scrollWidth } = this.element;
    this.element.classList.toggle("more-left", scrollLeft > 0);
    this.element.classList.toggle("more-right", scrollLeft + clientWidth < scrollWidth - 1);
    const first = Math.max(0, Math.floor(scrollTop / ROW) - MORE);
    const last = Math.min(this.visible.length, first + Math.ceil((clientHeight || 600) / ROW) + 2 * MORE);
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && { key: focused.closest("tr").dataset.key, name: focused.dataset.name };
    const before = this.drawn;
    this.drawn = new Map(this.visible.slice(first, last).map((row, at) => this.drawRow(row, first + at + 2, before)));
    this.above.firstChild.style.height = `${first * ROW}px`;
    this.below.firstChild.style.height = `${(this.visible.length - last) * ROW}px`;
    this.place([...this.drawn.values()].map(({ tr }) => tr));
    if (place && document.activeElement !== focused) this.focus(place.key, place.name);
  }

  /** Return a row's key, and its content and element: the element of before, if the content is the same. */
  drawRow(row, rowIndex, before) {
    const key = this.key(row);
    const content = JSON.stringify(row) + this.stamp;
    const known = before.get(key);
    const tr = known?.content === content ? known.tr : h("tr", { "data-key": key }, ...this.cells(row));
    tr.setAttribute("aria-rowindex", rowIndex);
    for (const [name, marked] of Object.entries(this.marks)) tr.classList.toggle(name, marked === key);
    return [key, { content, tr }];
  }

  cells(row) {
    return this.columns.map((column) => {
      const text = String(column.text(row) ?? "");
      const title = column.tip?.(row) || text || null;
      const attributes = { class: column.class, title, style: column.style?.(row) };
      return h("td", attributes, ...[column.cell?.(row) ?? text].flat());
    });
  }

  /** Put the rows between the two spaces. Only rows at another place are moved, so that the focus stays. */
  place(rows) {
    const wanted = new Set([this.above, ...rows, this.below]);
    for (const row of [...this.body.children]) if (!wanted.has(row)) row.remove();
    let next = this.above.nextSibling;
    for (const row of rows) {
      if (row === next) next = next.nextSibling;
      else this.body.insertBefore(row, next);
    }
  }
}

const longest = (rows, text) => rows.reduce((most, row) => Math.max(most, String(text(row) ?? "").length), 0);
