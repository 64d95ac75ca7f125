// Where a run comes from, as text.

/** Return where a run comes from: the commit, the form's overrides, what is the same in all combinations. */
export function originText({ origin: { revision, overrides = [] }, constants }) {
  const same = Object.entries(constants).map(([key, value]) => `${key}=${value}`);
  const parts = [
    revision,
    overrides.length > 0 && `overrides ${overrides.join(" ")}`,
    same.length > 0 && `constants ${same.join(" ")}`,
  ];
  return parts.filter(Boolean).join("; ");
}
