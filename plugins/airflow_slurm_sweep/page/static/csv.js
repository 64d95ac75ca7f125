// What the table shows, as a file.

const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Return text with a quote before what a spreadsheet would take for a formula; numbers as they are. */
const harmless = (text) => (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text);

/** Return rows as CSV; a column's name is its id, a cell its `raw` value, or else its text. */
export function csv(columns, rows) {
  const shown = columns.filter(({ sorts = true }) => sorts);
  const cell = (column, row) => quoted(harmless(String((column.raw ?? column.text)(row) ?? "")));
  const lines = rows.map((row) => shown.map((column) => cell(column, row)));
  return [shown.map(({ id }) => quoted(id)), ...lines].map((line) => `${line.join(",")}\n`).join("");
}

/** Give the reader a file. Airflow's frame forbids that to the page inside; a link in its document may. */
export function save(text, name) {
  const link = parent.document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  parent.document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
