/**
 * The files that a picker offers, page by page: a search, or the list of one source. The answer to an
 * earlier question never replaces a later answer. Leaves out how files are shown.
 */

import { ApiError } from "../shared/request.js";

/** @import { FilePage, FileRecord, FilesApi } from "../api.js" */
/** An empty `q` finds all files, an empty `source` asks all sources.
 * @typedef {{q: string, source: string}} Question */

/** Files of a page. */
const SIZE = 40;
/** Files that are listed at most: more than people scroll through, few enough for any browser. */
export const MAX_FOUND = 1000;

/** Event `change`: any of the public properties has changed. */
export class FileSearch extends EventTarget {
  /**
   * @param {FilesApi} api
   * @param {string[]} patterns Of an `accept`. The server filters lists by content type, but not by
   *   extension; a search is not filtered.
   */
  constructor(api, patterns) {
    super();
    this._api = api;
    const filters = patterns.every((pattern) => !pattern.startsWith(".") && pattern !== "*/*");
    this._types = filters ? patterns : [];
    this._asked = new AbortController();
    /** The question that `files` answers. @type {Question | null} */
    this.answered = null;
    /** @type {Question} */
    this.question = { q: "", source: "" };
    /** @type {FileRecord[]} */
    this.files = [];
    this.total = 0;
    /** Whether there are more than `total`. */
    this.truncated = false;
    /** How far names were read for letters, where no file has the words.
     * @type {{examined: number, complete: boolean} | null} */
    this.letters = null;
    this.loading = false;
    /** @type {ApiError | null} */
    this.error = null;
    /** @type {string | null} */
    this._next = null;
  }

  /** Whether there is a further page to show. */
  get hasMore() {
    return this._next !== null && this.files.length < MAX_FOUND;
  }

  /** @param {Question} question `files` stays until it is answered. */
  ask(question) {
    this.question = question;
    this._load(null);
  }

  /** Load the next page, unless a request runs or the last one failed. */
  more() {
    if (this.hasMore && !this.loading && this.error === null) this._load(this._next);
  }

  /** Repeat the request that failed. */
  retry() {
    this._load(this.answered === this.question ? this._next : null);
  }

  stop() {
    this._asked.abort();
    this.loading = false;
  }

  /** @param {string | null} next Token of a further page; null for the first. */
  async _load(next) {
    this._asked.abort();
    this._asked = new AbortController();
    const { signal } = this._asked;
    const { question } = this;
    this.loading = true;
    this.error = null;
    this._tell();
    try {
      const page = await this._page(question, next, signal);
      if (signal.aborted) return;
      this.files = next === null ? page.files : [...this.files, ...page.files];
      this.total = page.total;
      this.truncated = page.count_truncated === true;
      this.letters = page.by_letters ?? null;
      this._next = page.next;
      this.answered = question;
    } catch (error) {
      if (signal.aborted) return;
      this.error = ApiError.from(error);
    }
    this.loading = false;
    this._tell();
  }

  /**
   * @param {Question} question @param {string | null} next @param {AbortSignal} signal
   * @returns {Promise<FilePage>}
   */
  _page({ q, source }, next, signal) {
    const page = [["_size", String(SIZE)], ...(next === null ? [] : [["_next", next]])];
    if (q === "" && source !== "") {
      const types = this._types.map((type) => ["content_type", type]);
      return this._api.list(source, [...page, ...types], signal);
    }
    const query = /** @type {Record<string, string>} */ (Object.fromEntries(page));
    return this._api.search({ q, ...(source && { source }), ...query }, signal);
  }

  _tell() {
    this.dispatchEvent(new Event("change"));
  }
}
