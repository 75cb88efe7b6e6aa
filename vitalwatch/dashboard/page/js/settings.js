// What a viewer chose, kept in this browser; nothing of a patient is in it.

const PREFIX = "vitalwatch.";

/** A choice made before, or the default. */
export function load(name, otherwise) {
  try {
    return localStorage.getItem(PREFIX + name) ?? otherwise;
  } catch {
    return otherwise; // the browser keeps nothing, and the page works all the same
  }
}

export function save(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // as above
  }
}
