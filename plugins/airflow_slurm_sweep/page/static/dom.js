// Small helpers for the document. Values become text, never HTML.

/** Return an element: h("a", {href: "…", class: "x"}, "text", child). Functions are listeners, null and false are left out. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") element.style.cssText = value ?? ""; // as an attribute the page's own policy forbids it
    else if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return an element of a drawing; its style is set as h() does. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") element.style.cssText = value ?? "";
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Return a number in few digits: 0.123457, 1e-6. */
export function short(value) {
  const rounded = Number(value.toPrecision(6));
  return rounded !== 0 && Math.abs(rounded) < 1e-4 ? rounded.toExponential() : String(rounded);
}

/** Put an element's text into the clipboard; return whether it worked. Browsers have the first way only where they trust the connection. */
export async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

/** Return seconds as text: 4:05, 1:04:05, 2-01:04:05. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  const two = (number) => String(number).padStart(2, "0");
  const tail = `${two(minutes)}:${two(whole % 60)}`;
  if (days) return `${days}-${two(hours)}:${tail}`;
  return hours ? `${hours}:${tail}` : `${minutes}:${two(whole % 60)}`;
}

/** Return the seconds of Slurm's [days-]hours:minutes:seconds; NaN of anything else. */
export function seconds(text) {
  const found = /^(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)$/.exec(text);
  if (!found) return NaN;
  const [days, hours, minutes, rest] = found.slice(1).map((part) => Number(part ?? 0));
  return ((days * 24 + hours) * 60 + minutes) * 60 + rest;
}

/** Return a time (seconds since 1970) in the reader's own way, or a dash. */
export function moment(time) {
  return time ? new Date(time * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" }) : "–";
}

/** Follow Airflow's light or dark, which it keeps as a class of its document, and its background; alone, the browser's. */
export function followTheme() {
  const root = document.documentElement;
  try {
    const airflow = parent.document.documentElement;
    if (airflow === root) return;
    const copy = () => {
      root.dataset.theme = airflow.classList.contains("dark") ? "dark" : "light";
      const backs = [parent.document.body, airflow].map((element) => parent.getComputedStyle(element).backgroundColor);
      const back = backs.find((colour) => colour !== "rgba(0, 0, 0, 0)"); // that is: none
      if (back) root.style.setProperty("--back", back);
    };
    new MutationObserver(copy).observe(airflow, { attributeFilter: ["class"] });
    copy();
  } catch {
    // Another site's frame: the browser's choice holds.
  }
}
