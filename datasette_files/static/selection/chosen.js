/**
 * The chosen files of a list, by id, with their names. They last while people turn pages, sort and filter:
 * the browser's tab keeps them. Leaves out the page.
 */

/** Most files that can be chosen one by one; more are chosen by their query. */
export const MAX_CHOSEN = 5000;

export class Chosen {
  /** @param {string} key The list's name. @param {Storage | null} storage */
  constructor(key, storage) {
    this._key = `datasette-files chosen ${key}`;
    this._storage = storage;
    /** Whether everything that matches is chosen, and not only `names`. */
    this.everything = false;
    /** @type {Map<string, string>} */
    this.names = new Map();
    try {
      this.names = new Map(JSON.parse(storage?.getItem(this._key) ?? "[]"));
    } catch {
      storage?.removeItem(this._key); // of another release, or damaged
    }
  }

  /** @returns {number} */
  get size() {
    return this.names.size;
  }

  /** @param {string} id */
  has(id) {
    return this.names.has(id);
  }

  /**
   * Choose files, or drop them. Files above `MAX_CHOSEN` are left out.
   * @param {Iterable<[string, string]>} files Ids and names. @param {boolean} chosen
   */
  set(files, chosen) {
    this.everything = false;
    for (const [id, name] of files) {
      if (!chosen) this.names.delete(id);
      else if (this.names.size < MAX_CHOSEN) this.names.set(id, name);
    }
    this._keep();
  }

  clear() {
    this.everything = false;
    this.names.clear();
    this._keep();
  }

  _keep() {
    try {
      this._storage?.setItem(this._key, JSON.stringify([...this.names]));
    } catch {
      // The tab's storage is full; the choice lasts as long as this page.
    }
  }
}
