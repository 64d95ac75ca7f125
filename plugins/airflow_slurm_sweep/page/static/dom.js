// Small helpers for the document. Values become text, never HTML.

/**
 * Return an element: h("a", {href: "…", class: "x"}, "text", child).
 *
 * Attributes that are functions become listeners. Attributes and children that are null or false are left out.
 */
export const h = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);

/** Return an element of a drawing, as h() does. */
export const svg = (name, attributes = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

const isLeftOut = (value) => value === null || value === undefined || value === false;

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style")
      element.style.cssText = value ?? ""; // the page's policy forbids it as an attribute
    else if (typeof value === "function") element.addEventListener(key, value);
    else if (!isLeftOut(value)) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => !isLeftOut(child)));
  return element;
}

/** Return a function that calls another one before the next frame, once however often it is called. */
export function onceAFrame(callback) {
  let isPlanned = false;
  return () => {
    if (isPlanned) return;
    isPlanned = true;
    requestAnimationFrame(() => {
      isPlanned = false;
      callback();
    });
  };
}

/** Return a number in few digits: 0.123457, 1e-6. A whole number has all of its digits: 1048576. */
export function short(value) {
  if (Number.isSafeInteger(value)) return String(value);
  const rounded = Number(value.toPrecision(6));
  return rounded !== 0 && Math.abs(rounded) < 1e-4 ? rounded.toExponential() : String(rounded);
}

/**
 * Copy an element's text into the clipboard; return whether it worked.
 *
 * Browsers offer their clipboard only over connections that they trust.
 */
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
  const days = Math.floor(whole / 86400);
  const hours = Math.floor(whole / 3600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  const two = (number) => String(number).padStart(2, "0");
  const tail = `${two(minutes)}:${two(whole % 60)}`;
  if (days) return `${days}-${two(hours)}:${tail}`;
  return hours ? `${hours}:${tail}` : `${minutes}:${two(whole % 60)}`;
}

/** Return a time (seconds since 1970) in the reader's language and time zone; a dash for none. */
export function moment(time) {
  return time ? new Date(time * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" }) : "–";
}

/** Be light or dark as Airflow is, which keeps it as a class of its document; outside Airflow, as the browser is. */
export function followTheme() {
  const root = document.documentElement;
  try {
    const airflow = parent.document.documentElement;
    if (airflow === root) return;
    const copyTheme = () => {
      root.dataset.theme = airflow.classList.contains("dark") ? "dark" : "light";
      const backs = [parent.document.body, airflow].map((element) => parent.getComputedStyle(element).backgroundColor);
      const back = backs.find((colour) => colour !== "rgba(0, 0, 0, 0)"); // transparent
      if (back) root.style.setProperty("--back", back);
    };
    new MutationObserver(copyTheme).observe(airflow, { attributeFilter: ["class"] });
    copyTheme();
  } catch {
    // The frame around is another site's: the browser's choice holds.
  }
}
