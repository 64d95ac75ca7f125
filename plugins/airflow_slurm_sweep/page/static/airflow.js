// Airflow around the page: its addresses, its REST API, its window.

import { h } from "./dom.js";

const BASE = new URL("../", document.baseURI); // Airflow may live below a path

/** Return the address of a page of Airflow's own: dagUrl("d", "runs", "r"). */
export const dagUrl = (...parts) => new URL(`dags/${parts.map(encodeURIComponent).join("/")}`, BASE).href;

/** Return the address of this page with a query: in Airflow, if the reader has it there. */
export function pageUrl(query) {
  if (parent === window) return new URL(`?${query}`, document.baseURI).href;
  return new URL(`plugin/sweeps${location.pathname}?${query}`, BASE).href;
}

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  const detail = (await response.json().catch(() => ({}))).detail;
  if (!detail) throw new Refused(response.status, response.statusText);
  throw new Refused(response.status, typeof detail === "string" ? detail : JSON.stringify(detail));
}

let ahead = 0; // seconds by which Airflow's clock is ahead of the reader's

/** Return the time in seconds since 1970 by Airflow's clock, as all times in its data are. */
export const now = () => Date.now() / 1000 + ahead;

/** Return the page's own data and its ETag; null if nothing has changed since the answer with that ETag. */
export async function load(path, etag) {
  const response = await fetch(path, { cache: "no-store", headers: etag ? { "If-None-Match": etag } : {} });
  const difference = (Date.parse(response.headers.get("Date")) - Date.now()) / 1000;
  ahead = Math.abs(difference) > 5 ? difference : 0; // less may be the time of the request
  if (response.status === 304) return null;
  return { data: await answer(response), etag: response.headers.get("ETag") };
}

/** Call Airflow's REST API as the user who is logged in. */
export async function call(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  return answer(await fetch(new URL(`api/v2/${path}`, BASE), { method, headers, body: JSON.stringify(body) }));
}

/** Open a link in Airflow's window. Airflow's frame forbids that to the page inside; a link in its document may. */
export function followOutside(event, target = "") {
  if (event.button > 1) return;
  event.preventDefault();
  const link = parent.document.createElement("a");
  link.href = event.currentTarget.href;
  link.target = target;
  link.rel = event.currentTarget.rel;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button === 1) link.target = "_blank";
  parent.document.body.append(link);
  link.click();
  link.remove();
}

/** Return a link that opens in Airflow's window. */
export function outside(href, text, label, name) {
  const attributes = { "aria-label": label, "data-name": name, click: followOutside, auxclick: followOutside };
  return h("a", { href, ...attributes }, text);
}
