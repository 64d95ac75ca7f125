// A table of thousands of rows: sorted, filtered, and only what is on the screen is in the document.

import { h } from "./dom.js";

const ROW = 33; // pixels, as in page.css
const MORE = 12; // rows above and below the screen

const collator = new Intl.Collator(undefined, { numeric: true });

function compare(one, other) {
  const empty = (value) => value === "" || value === null || value === undefined || Number.isNaN(value);
  if (empty(one) || empty(other)) return empty(one) - empty(other); // last, whichever way it is sorted
  const numbers = [Number(one), Number(other)];
  if (!numbers.some(Number.isNaN)) return numbers[0] - numbers[1];
  return collator.compare(one, other);
}

/**
 * @param columns {title, text(row), value(row)?, cell(row)?, class?, about?}[]: what a cell says, what it sorts by, its content
 * @param options {key(row), label}: what a row is known by, and what the table is called
 */
export class Table {
  constructor(columns, { key, label }) {
    this.columns = columns;
    this.key = key;
    this.sorted = { column: null, descending: false };
    this.rows = [];
    this.shown = [];
    this.keep = () => true;
    this.known = new Map();
    this.buttons = columns.map((column, index) => h("button", { type: "button", title: column.about, click: () => this.sortBy(index) }, column.title));
    this.heads = columns.map((column, index) => h("th", { scope: "col", class: column.class }, column.sorts === false ? column.title : this.buttons[index]));
    this.widths = columns.map(() => h("col"));
    this.above = h("tr", { class: "space", "aria-hidden": "true" }, h("td", { colspan: columns.length }));
    this.below = h("tr", { class: "space", "aria-hidden": "true" }, h("td", { colspan: columns.length }));
    this.body = h("tbody", {}, this.above, this.below);
    this.table = h("table", {}, h("caption", {}, label), h("colgroup", {}, ...this.widths), h("thead", {}, h("tr", { "aria-rowindex": 1 }, ...this.heads)), this.body);
    this.element = h("div", { class: "scroll", role: "region", "aria-label": label, tabindex: 0, scroll: () => this.soon() }, this.table);
    new ResizeObserver(() => this.soon()).observe(this.element);
  }

  /** Show other rows; those that are as before keep their place in the document. */
  update(rows, keep = this.keep) {
    this.rows = rows;
    this.keep = keep;
    this.arrange();
  }

  sortBy(index) {
    const { column, descending } = this.sorted;
    this.sorted = column !== index ? { column: index, descending: false } : { column: index, descending: !descending };
    this.heads.forEach((head, place) => {
      if (place === index) head.setAttribute("aria-sort", this.sorted.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.arrange();
  }

  arrange() {
    this.shown = this.rows.filter(this.keep);
    const { column, descending } = this.sorted;
    if (column !== null) {
      const value = this.columns[column].value ?? this.columns[column].text;
      const empty = (row) => ["", null, undefined].includes(value(row));
      this.shown = this.shown.toSorted((one, other) => compare(value(one), value(other)) * (descending && !empty(one) && !empty(other) ? -1 : 1));
    }
    this.table.setAttribute("aria-rowcount", this.shown.length + 1);
    this.measure();
    this.draw();
  }

  /** Columns are as wide as what they hold, rows off the screen among them, so that nothing moves while one scrolls. */
  measure() {
    const widths = this.columns.map((column) => column.width ?? Math.min(32, Math.max(column.title.length + 2, ...distinct(this.rows, column.text))) + 2);
    widths.forEach((width, index) => (this.widths[index].style.width = `${width}ch`));
    this.table.style.minWidth = `${widths.reduce((sum, width) => sum + width, 0)}ch`;
  }

  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - MORE);
    const last = Math.min(this.shown.length, first + Math.ceil((this.element.clientHeight || 600) / ROW) + 2 * MORE);
    const focus = this.body.contains(document.activeElement) ? document.activeElement : null;
    const place = focus && { key: focus.closest("tr").dataset.key, name: focus.dataset.name };
    const known = new Map();
    const rows = this.shown.slice(first, last).map((row, index) => {
      const key = this.key(row);
      const content = JSON.stringify(row);
      let entry = this.known.get(key);
      if (entry?.content !== content) entry = { content, tr: this.row(row, key) };
      entry.tr.setAttribute("aria-rowindex", first + index + 2);
      known.set(key, entry);
      return entry.tr;
    });
    this.known = known;
    this.above.firstChild.style.height = `${first * ROW}px`;
    this.below.firstChild.style.height = `${(this.shown.length - last) * ROW}px`;
    this.place(rows);
    if (place && document.activeElement !== focus) known.get(place.key)?.tr.querySelector(`[data-name="${place.name}"]`)?.focus({ preventScroll: true });
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

function distinct(rows, text) {
  return [0, ...new Set(rows.map((row) => String(text(row) ?? "").length))];
}
