/**
 * What is known of files by their ids: one request for all that are asked for at the same moment.
 * Leaves out anything of a page.
 */

/** @import { FileRecord, FilesApi } from "../api.js" */

/** How many ids batch.json takes at once. */
const MAX_BATCH = 200;

/** A file as a field shows it. @typedef {Pick<FileRecord, "id" | "filename" | "content_type" | "size" |
 *   "url" | "thumbnail_url">} ShownFile */

export class FileRecords {
  /** @param {FilesApi} api */
  constructor(api) {
    this._api = api;
    /** @type {Map<string, Promise<ShownFile | null>>} */
    this._known = new Map();
    /** @type {Map<string, {resolve: (file: ShownFile | null) => void, reject: (error: unknown) => void}>} */
    this._wanted = new Map();
  }

  /** One that came by another way. @param {ShownFile} file */
  put(file) {
    this._known.set(file.id, Promise.resolve(file));
  }

  /**
   * Null: the file is gone, or not open to this person. Raises ApiError; the next call asks again.
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

  /** @param {[string, {resolve: (file: ShownFile | null) => void, reject: (error: unknown) => void}][]} wanted */
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
