/**
 * The records of files by their ids. Ids that are asked for in the same moment share one request.
 * Leaves out anything of a page.
 */

/** @import { FileRecord, FilesApi } from "../api.js" */

/** Most ids in a request to batch.json. */
const MAX_BATCH = 200;

/** The parts of a record that are shown. @typedef {Pick<FileRecord, "id" | "filename" | "content_type" |
 *   "size" | "url" | "thumbnail_url">} ShownFile */

/** @typedef {{resolve: (file: ShownFile | null) => void, reject: (error: unknown) => void}} Waiter */

export class FileRecords {
  /** @param {FilesApi} api */
  constructor(api) {
    this._api = api;
    /** @type {Map<string, Promise<ShownFile | null>>} */
    this._known = new Map();
    /** @type {Map<string, Waiter>} */
    this._wanted = new Map();
  }

  /** Add a record that is known already. @param {ShownFile} file */
  put(file) {
    this._known.set(file.id, Promise.resolve(file));
  }

  /**
   * Null: the file was deleted, or this person may not see it. Raises ApiError; the next call asks again.
   * @param {string} id @returns {Promise<ShownFile | null>}
   */
  get(id) {
    let answer = this._known.get(id);
    if (answer === undefined) {
      answer = new Promise((resolve, reject) => {
        if (this._wanted.size === 0) queueMicrotask(() => this._ask());
        this._wanted.set(id, { resolve, reject });
      });
      this._known.set(id, answer);
    }
    return answer;
  }

  _ask() {
    const wanted = [...this._wanted];
    this._wanted.clear();
    for (let start = 0; start < wanted.length; start += MAX_BATCH) {
      this._batch(wanted.slice(start, start + MAX_BATCH));
    }
  }

  /** @param {[string, Waiter][]} wanted */
  async _batch(wanted) {
    try {
      const { files } = await this._api.batch(wanted.map(([id]) => id));
      for (const [id, { resolve }] of wanted) {
        resolve(Object.hasOwn(files, id) ? { ...files[id], url: files[id].info_url } : null);
      }
    } catch (error) {
      for (const [id, { reject }] of wanted) {
        this._known.delete(id);
        reject(error);
      }
    }
  }
}
