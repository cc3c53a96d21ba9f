/**
 * People's names for files, as what they are. Pure; leaves out where they are shown.
 */

/** As the server's pages mark them: controls, and what changes the direction of other text. */
const INVISIBLE = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/** @param {string} name @returns {string} Each character that would change others' looks a mark. */
export function plain(name) {
  return name.replace(INVISIBLE, "\ufffd") || "(no name)";
}
