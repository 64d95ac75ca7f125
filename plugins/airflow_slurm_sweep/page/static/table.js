// A table of thousands of rows: sorted, filtered, and only what is on the screen is in the document.

import { h } from "./dom.js";

const ROW = 33; // pixels, as in page.css
const MORE = 12; // rows above and below the screen
const TITLE = 14; // characters of a column's head that make it wider

const collator = new Intl.Collator(undefined, { numeric: true });

const empty = (value) => value === "" || value === null || value === undefined || Number.isNaN(value);

function compare(one, other) {
  const numbers = [Number(one), Number(other)];
  if (!numbers.some(Number.isNaN)) return numbers[0] - numbers[1];
  return collator.compare(one, other);
}

export class Table {
  /** @param options {key(row), label, sort({id, descending})}: what a row is known by, what the table is called, what a click on a head asks for */
  constructor({ key, label, sort }) {
    Object.assign(this, { key, sort, columns: [], rows: [], shown: [], known: new Map(), sorted: null, marks: {} });
    this.keep = () => true;
    this.group = h("colgroup");
    this.head = h("tr", { "aria-rowindex": 1 });
    this.above = h("tr", { class: "space", "aria-hidden": "true" }, h("td"));
    this.below = h("tr", { class: "space", "aria-hidden": "true" }, h("td"));
    this.body = h("tbody", {}, this.above, this.below);
    this.table = h("table", {}, h("caption", {}, label), this.group, h("thead", {}, this.head), this.body);
    this.element = h("div", { class: "scroll", role: "region", "aria-label": label, tabindex: 0, scroll: () => this.soon() }, this.table);
    new ResizeObserver(() => this.soon()).observe(this.element);
  }

  /**
   * Have other columns.
   *
   * @param columns {id, title, text(row), value(row)?, cell(row)?, tip(row)?, style(row)?, width(rows)?, room?, head?, class?, about?, descending?, sorts?}[]:
   *   what a cell says, what it sorts by, its content, room in digits for more than its text; descending is how a first click sorts
   */
  setColumns(columns) {
    const focused = this.head.contains(document.activeElement) && document.activeElement.dataset.column;
    this.columns = columns;
    this.known.clear();
    this.widths = columns.map(() => h("col"));
    this.group.replaceChildren(...this.widths);
    const button = (column) => h("button", { type: "button", title: column.about, "data-column": column.id, click: () => this.ask(column) }, column.head ?? column.title);
    this.head.replaceChildren(...columns.map((column) => h("th", { scope: "col", class: column.class }, column.sorts === false ? (column.head ?? column.title) : button(column))));
    for (const space of [this.above, this.below]) space.firstChild.colSpan = columns.length;
    if (focused) this.head.querySelector(`[data-column="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  ask(column) {
    const again = this.sorted?.id === column.id;
    this.sort({ id: column.id, descending: again ? !this.sorted.descending : Boolean(column.descending) });
  }

  /**
   * Show rows; those that are as before keep their place in the document.
   *
   * @param sorted {id, descending} or null: by which column; one that is not there sorts nothing
   * @param marks {class: key}: rows that look otherwise
   * @param stamp text that changes where cells do without their rows
   */
  update(rows, { keep, sorted, marks, stamp }) {
    const other = rows !== this.rows || stamp !== this.stamp;
    Object.assign(this, { rows, keep, sorted, marks, stamp });
    this.columns.forEach((column, place) => {
      if (sorted?.id === column.id) this.head.children[place].setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
      else this.head.children[place].removeAttribute("aria-sort");
    });
    this.arrange();
    if (other) this.measure();
    this.draw();
  }

  arrange() {
    this.shown = this.rows.filter(this.keep);
    const column = this.columns.find(({ id }) => id === this.sorted?.id);
    if (column) {
      const value = column.value ?? column.text;
      const sign = this.sorted.descending ? -1 : 1;
      const pairs = this.shown.map((row) => [row, value(row)]);
      // What is empty comes last, whichever way it is sorted.
      pairs.sort(([, one], [, other]) => (empty(one) || empty(other) ? empty(one) - empty(other) : sign * compare(one, other)));
      this.shown = pairs.map(([row]) => row);
    }
    this.table.setAttribute("aria-rowcount", this.shown.length + 1);
  }

  /** Columns are as wide as what they hold, rows off the screen among them, so that nothing moves while one scrolls. */
  measure() {
    const wide = (column) => Math.min(32, Math.max(Math.min(TITLE, column.title.length) + 2, longest(this.rows, column.text) + (column.room ?? 0))) + 2;
    const widths = this.columns.map((column) => column.width?.(this.rows) ?? wide(column));
    widths.forEach((width, index) => (this.widths[index].style.width = `${width}ch`));
    this.table.style.minWidth = `${widths.reduce((sum, width) => sum + width, 0)}ch`;
  }

  /** Scroll to a row, if the filter leaves it. */
  reveal(key) {
    const at = this.shown.findIndex((row) => this.key(row) === key);
    if (at < 0) return;
    const top = at * ROW;
    const height = this.element.clientHeight - 2 * ROW;
    if (top < this.element.scrollTop || top > this.element.scrollTop + height) this.element.scrollTop = top - height / 2;
    this.draw();
  }

  /** Move the focus to a row's link or button of that name, if the row is on the screen. */
  focus(key, name) {
    this.known.get(key)?.tr.querySelector(`[data-name="${name}"]`)?.focus({ preventScroll: true });
  }

  /** Have one row, or none, look otherwise. */
  mark(name, key) {
    this.marks = { ...this.marks, [name]: key };
    for (const [known, { tr }] of this.known) tr.classList.toggle(name, known === key);
  }

  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    const { scrollTop, scrollLeft, clientWidth, clientHeight, scrollWidth } = this.element;
    this.element.classList.toggle("more-left", scrollLeft > 0);
    this.element.classList.toggle("more-right", scrollLeft + clientWidth < scrollWidth - 1);
    const first = Math.max(0, Math.floor(scrollTop / ROW) - MORE);
    const last = Math.min(this.shown.length, first + Math.ceil((clientHeight || 600) / ROW) + 2 * MORE);
    const focus = this.body.contains(document.activeElement) ? document.activeElement : null;
    const place = focus && { key: focus.closest("tr").dataset.key, name: focus.dataset.name };
    const known = new Map();
    const rows = this.shown.slice(first, last).map((row, index) => {
      const key = this.key(row);
      const content = JSON.stringify(row) + this.stamp;
      let entry = this.known.get(key);
      if (entry?.content !== content) entry = { content, tr: this.row(row, key) };
      entry.tr.setAttribute("aria-rowindex", first + index + 2);
      for (const [name, marked] of Object.entries(this.marks)) entry.tr.classList.toggle(name, marked === key);
      known.set(key, entry);
      return entry.tr;
    });
    this.known = known;
    this.above.firstChild.style.height = `${first * ROW}px`;
    this.below.firstChild.style.height = `${(this.shown.length - last) * ROW}px`;
    this.place(rows);
    if (place && document.activeElement !== focus) this.focus(place.key, place.name);
  }

  /** Put the rows between the two spaces, and move only those that are not there: what has the focus keeps it. */
  place(rows) {
    const wanted = new Set(rows);
    for (const row of [...this.body.children]) if (row !== this.above && row !== this.below && !wanted.has(row)) row.remove();
    let next = this.above.nextSibling;
    for (const row of rows) {
      if (row === next) next = next.nextSibling;
      else this.body.insertBefore(row, next);
    }
  }

  row(row, key) {
    const cells = this.columns.map((column) => {
      const text = String(column.text(row) ?? "");
      return h("td", { class: column.class, title: column.tip?.(row) || text || null, style: column.style?.(row) }, ...[column.cell?.(row) ?? text].flat());
    });
    return h("tr", { "data-key": key }, ...cells);
  }
}

function longest(rows, text) {
  return rows.reduce((most, row) => Math.max(most, String(text(row) ?? "").length), 0);
}
