// What the page shows, in its address, so that a link shows the same: ?dag_id=…&run_id=…&index=3&sort=-metrics.reward,
// or ?run=DAG/RUN&run=DAG/RUN of runs that are compared

/**
 * Return the query that the page begins with.
 *
 * Airflow hands path and query of its own address on to the page in its frame, if its path ends with the page's. From
 * an address that ends with /plugin/sweeps the query is taken here, before Airflow replaces it by the page's.
 */
function begin() {
  try {
    if (!location.search && parent !== window && /\/plugin\/sweeps\/?$/.test(parent.location.pathname)) {
      history.replaceState(null, "", location.pathname + parent.location.search);
    }
  } catch {
    // The frame around is another site's: its address cannot be read.
  }
  return new URLSearchParams(location.search);
}

const parameters = begin();

/** Return a part of the address; "" if it has none. */
export const get = (name) => parameters.get(name) ?? "";

/** Return all parts of the address with a name. */
export const getAll = (name) => parameters.getAll(name);

/** Change parts of the address, here and in Airflow; "" removes one. Nothing is loaded, "back" leads where it did. */
export function set(parts) {
  for (const [name, value] of Object.entries(parts)) {
    if (value === "") parameters.delete(name);
    else parameters.set(name, value);
  }
  const query = `?${parameters}`;
  if (query === location.search) return;
  history.replaceState(history.state, "", location.pathname + query);
  try {
    const around = parent.location;
    // Airflow copies the address only when its frame loads.
    if (parent !== window && around.pathname.endsWith(location.pathname)) {
      parent.history.replaceState(parent.history.state, "", around.pathname + query);
    }
  } catch {
    // As in begin().
  }
}
