/**
 * What a file column holds: an id, or a JSON array of ids, or nothing, or something else, which is
 * left as it is. Pure.
 */

/** How many one cell of `files` holds; the server takes no more. */
export const MAX_IDS = 200;
/** `df-` and a ULID in lower case. */
const ID = /^df-[0-9a-hjkmnp-tv-z]{26}$/;

/** @param {unknown} value */
function isId(value) {
  return typeof value === "string" && ID.test(value);
}

/**
 * @param {"file" | "files"} type Of the column.
 * @param {string | number | boolean | null} value
 * @returns {string[] | null} Its ids; null for what is none of ours.
 */
export function idsOf(type, value) {
  if (value === null || value === "") return [];
  if (typeof value !== "string") return null;
  if (type === "file") return isId(value) ? [value] : null;
  try {
    const parsed = JSON.parse(value);
    // Many more would hold the page up for a list that the server does not take.
    const fits = Array.isArray(parsed) && parsed.length <= MAX_IDS;
    return fits && parsed.every(isId) ? parsed : null;
  } catch {
    return null; // it is shown as the text that it is
  }
}

/**
 * @param {"file" | "files"} type
 * @param {string[]} ids
 * @param {string | null} empty What the column holds where there is no file.
 */
export function valueOf(type, ids, empty) {
  if (ids.length === 0) return empty;
  return type === "file" ? ids[0] : JSON.stringify(ids);
}

/**
 * What to write where there is no file: what was there before, if it meant that, else NULL where the
 * column takes it.
 * @param {"file" | "files"} type @param {unknown} initial @param {boolean} notNull
 */
export function emptyValue(type, initial, notNull) {
  if (initial === "" || initial === "[]") return initial;
  if (!notNull) return null;
  return type === "files" ? "[]" : "";
}

/**
 * @template Item
 * @param {Item[]} items @param {number} from @param {number} to
 * @returns {Item[]} With the one moved, where both places exist.
 */
export function moved(items, from, to) {
  const changed = [...items];
  if (from < 0 || to < 0 || from >= items.length || to >= items.length) return changed;
  changed.splice(to, 0, ...changed.splice(from, 1));
  return changed;
}
