/**
 * The files of a list by the paths of their pages, in the list's order: which one is before and after
 * another. The tab keeps it, so that the page of a file knows the list that led to it. Knows no page.
 */

const KEY = "datasette-files trail";
/** Most files of a trail. */
export const MAX_TRAIL = 2000;

/** A file's place: its path, and its number from 0. @typedef {{path: string, index: number}} Place */

export class Trail {
  /** @param {string[]} paths @param {string | null} [more] The address of the list's next page. */
  constructor(paths, more = null) {
    this.paths = paths.slice(0, MAX_TRAIL);
    this.more = paths.length > MAX_TRAIL ? null : more;
  }

  /** @param {Storage | null} storage @returns {Trail} An empty one if nothing is kept. */
  static load(storage) {
    try {
      const { paths, more } = JSON.parse(storage?.getItem(KEY) ?? "{}");
      return new Trail(Array.isArray(paths) ? paths : [], typeof more === "string" ? more : null);
    } catch {
      return new Trail([]); // of another release, or damaged
    }
  }

  /** @param {Storage | null} storage */
  save(storage) {
    try {
      storage?.setItem(KEY, JSON.stringify({ paths: this.paths, more: this.more }));
    } catch {
      // The tab's storage is full: the file's page shows no neighbours.
    }
  }

  /**
   * Where a file is now. The list may have changed since: a file that is gone leaves its place to the
   * one that follows it, without its path.
   * @param {string} path @param {number} near The index where it was, as a list of rows may hold it twice.
   * @returns {Place | null} Null if there are no files.
   */
  place(path, near = -1) {
    if (this.paths[near] === path) return { path, index: near };
    const index = this.paths.indexOf(path);
    if (index >= 0) return { path, index };
    const last = this.paths.length - 1;
    return near < 0 || last < 0 ? null : { path: "", index: Math.min(near, last) };
  }

  /** @param {Place} from @param {1 | -1} by @returns {Place | null} Null past an end. */
  step(from, by) {
    const now = this.place(from.path, from.index);
    if (now === null) return null;
    // In the place of a file that is gone is the one after it.
    const index = now.path === "" && by > 0 ? now.index : now.index + by;
    const path = this.paths[index];
    return path === undefined ? null : { path, index };
  }

  /** Such as "3 of 12"; "3 of 100+" if the list goes on. @param {number} index */
  described(index) {
    return `${index + 1} of ${this.paths.length}${this.more === null ? "" : "+"}`;
  }

  /** The trail with the files of the list's next page. @param {Trail} next */
  extended(next) {
    return new Trail([...this.paths, ...next.paths], next.more);
  }
}
