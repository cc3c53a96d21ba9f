/**
 * The values of a file column: an id, a JSON array of ids, or nothing. Any other value is left as it is.
 * Pure.
 */

/** How many ids one cell of `files` holds; the server refuses more. */
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
 * @returns {string[] | null} Its ids; null for any other value.
 */
export function idsOf(type, value) {
  if (value === null || value === "") return [];
  if (typeof value !== "string") return null;
  if (type === "file") return isId(value) ? [value] : null;
  try {
    const parsed = JSON.parse(value);
    // A longer list would slow the page, and the server would refuse it.
    const fits = Array.isArray(parsed) && parsed.length <= MAX_IDS;
    return fits && parsed.every(isId) ? parsed : null;
  } catch {
    return null; // shown as text
  }
}

/**
 * @param {"file" | "files"} type
 * @param {string[]} ids
 * @param {string | null} empty The value of a column without a file.
 */
export function valueOf(type, ids, empty) {
  if (ids.length === 0) return empty;
  return type === "file" ? ids[0] : JSON.stringify(ids);
}

/**
 * The value to write without a file: the initial one if it was an empty one, else NULL if the column
 * takes it.
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
 * @returns {Item[]} A copy with the item moved, if both places exist.
 */
export function moved(items, from, to) {
  const changed = [...items];
  if (from < 0 || to < 0 || from >= items.length || to >= items.length) return changed;
  changed.splice(to, 0, ...changed.splice(from, 1));
  return changed;
}
