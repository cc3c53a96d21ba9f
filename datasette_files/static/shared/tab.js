/** The storage of the browser's tab. Leaves out what is kept there. */

/** @returns {Storage | null} None where the browser forbids it. */
export function tabStorage() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}
