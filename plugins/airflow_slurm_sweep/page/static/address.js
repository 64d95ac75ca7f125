// What the page shows, in its address, so that a link shows the same: ?dag_id=…&run_id=…&index=3&sort=-metrics.reward

/**
 * Airflow hands the path and the query of its own address on to the page in its frame, if that has the page's path. One that
 * ends with /plugin/sweeps has only the query: it is taken here, before Airflow copies the page's address into its own.
 */
function begin() {
  try {
    if (!location.search && parent !== window && /\/plugin\/sweeps\/?$/.test(parent.location.pathname)) history.replaceState(null, "", location.pathname + parent.location.search);
  } catch {
    // Another site's frame: its address is not to be read.
  }
  return new URLSearchParams(location.search);
}

const known = begin();

/** Return a part of the address; "" if it has none. */
export const get = (name) => known.get(name) ?? "";

/** Change parts of the address, here and around; "" takes one away. Nothing is loaded, and "back" leads where it did. */
export function set(parts) {
  for (const [name, value] of Object.entries(parts)) value === "" ? known.delete(name) : known.set(name, value);
  const query = `?${known}`;
  if (query === location.search) return;
  history.replaceState(history.state, "", location.pathname + query);
  try {
    const around = parent.location;
    // Airflow copies the address only when its frame loads.
    if (parent !== window && around.pathname.endsWith(location.pathname)) parent.history.replaceState(parent.history.state, "", around.pathname + query);
  } catch {
    // As above.
  }
}
