/**
 * The HTTP API of datasette-files (docs/api.md) as promises; all raise ApiError. Leaves out the bytes
 * of an upload (upload/client.js) and anything of a page.
 */

import { requestJson } from "./shared/request.js";

export { ApiError } from "./shared/request.js";

/**
 * A file as complete and the lists answer it; they hold more than is named here.
 * @typedef {object} FileRecord
 * @property {string} id
 * @property {string} filename
 * @property {string | null} content_type
 * @property {number | null} size
 * @property {string} source_slug
 * @property {string} created_at
 * @property {string} url
 * @property {string} download_url
 * @property {string} thumbnail_url
 * @property {Duplicate} [duplicate_of] Of a file that was uploaded just now.
 */

/** An older file of the source with the same bytes. @typedef {{id: string, filename: string,
 *   url: string}} Duplicate */

/**
 * A page of a list or a search.
 * @typedef {object} FilePage
 * @property {FileRecord[]} files
 * @property {number} total
 * @property {boolean} [count_truncated] Whether there are more than `total`.
 * @property {string | null} next
 * @property {{examined: number, complete: boolean} | null} [by_letters] In a search: no file has the
 *   words, and the names of these files contain the letters. `examined` names were read.
 */

/**
 * A source as sources.json gives it.
 * @typedef {object} SourceRecord
 * @property {string} slug
 * @property {string} label
 * @property {{can_upload: boolean}} capabilities Of its storage.
 * @property {boolean} can_browse Whether the actor may.
 * @property {boolean} can_upload Whether the actor may.
 */

/** The file column that an upload is for. @typedef {{database: string, table: string,
 *   column: string}} ColumnPlace */

/**
 * The answer of prepare: where and how the bytes are sent.
 * @typedef {object} Instructions
 * @property {string} upload_token
 * @property {string} upload_url
 * @property {string} upload_method
 * @property {Record<string, string>} upload_headers
 * @property {Record<string, string>} upload_fields
 * @property {string} [upload_resumable_url] Another way for a large file: by tus, which goes on after a break.
 * @property {UploadParts} [upload_parts] Another way for a large file: straight to the storage in parts.
 */

/** What an upload became; by an upload link without `file`.
 * @typedef {{file?: FileRecord, duplicate_of?: Duplicate}} Completed */

/**
 * @typedef {object} UploadParts
 * @property {number} part_size Bytes of each part but the last.
 * @property {number} count
 * @property {string} sign_url
 * @property {string} list_url
 */

/** Characters of an address; proxies take at least twice as many. */
const MAX_ADDRESS = 4000;

export class FilesApi {
  /**
   * @param {string} [base] Datasette's `base_url`: a path that ends with a slash.
   * @param {typeof fetch} [fetcher] For tests.
   * @param {string | null} [link] The token of an upload link, by which every upload goes.
   */
  constructor(base = "/", fetcher = undefined, link = null) {
    this.base = base;
    this._fetch = fetcher;
    this._link = link;
    /** Sources of which prepare told that this site takes the bytes. @type {Set<string>} */
    this.receives = new Set();
    /** Whether uploads in one request come through to this site. */
    this.takesWhole = true;
  }

  /**
   * @param {string} source
   * @param {{filename: string, content_type?: string, size?: number, sha256?: string,
   *   folder?: string, column?: ColumnPlace, replaces?: string}} declared
   * @param {AbortSignal} [signal]
   * @returns {Promise<Instructions>}
   */
  prepare(source, declared, signal) {
    return this._post(`${this._uploads(source)}/-/prepare`, declared, signal);
  }

  /**
   * May be repeated; the answer is then the same.
   * @param {string} source @param {string} token @param {AbortSignal} [signal]
   * @returns {Promise<Completed>}
   */
  complete(source, token, signal) {
    return this._post(`${this._uploads(source)}/-/complete`, { upload_token: token }, signal);
  }

  /**
   * URLs for parts of an upload, to which each is sent by PUT.
   * @param {string} url The `sign_url` of prepare.
   * @param {string} token @param {number[]} numbers From 1, at most 100. @param {AbortSignal} [signal]
   * @returns {Promise<{parts: {number: number, url: string, headers: Record<string, string>}[],
   *   expires_in: number}>}
   */
  signParts(url, token, numbers, signal) {
    return requestJson(url, posted({ upload_token: token, numbers }, signal), this._fetch);
  }

  /**
   * @param {Record<string, string>} query `q`, `source`, `_size`, `_next`.
   * @param {AbortSignal} [signal]
   * @returns {Promise<FilePage>}
   */
  search(query, signal) {
    return this._request(`search.json?${new URLSearchParams(query)}`, { signal });
  }

  /**
   * Several files at once. Files that are absent, or that the actor may not see, are left out.
   * @param {string[]} ids At most 200.
   * @param {AbortSignal} [signal]
   * @returns {Promise<{files: Record<string, {id: string, filename: string, content_type: string | null,
   *   size: number | null, download_url: string, thumbnail_url: string, info_url: string}>}>}
   */
  batch(ids, signal) {
    return this._request(`batch.json?${new URLSearchParams(ids.map((id) => ["id", id]))}`, { signal });
  }

  /**
   * The files of one source.
   * @param {string} source
   * @param {Record<string, string> | string[][]} [query] The arguments are in docs/api.md.
   * @param {AbortSignal} [signal]
   * @returns {Promise<FilePage>}
   */
  list(source, query = {}, signal) {
    const path = `source/${encodeURIComponent(source)}.json?${new URLSearchParams(query)}`;
    return this._request(path, { signal });
  }

  /**
   * The sources that the actor may browse or upload to.
   * @param {AbortSignal} [signal]
   * @returns {Promise<{sources: SourceRecord[]}>}
   */
  sources(signal) {
    return this._request("sources.json", { signal });
  }

  /** The address of the page of a source. @param {string} source Its slug. */
  sourcePage(source) {
    return `${this.base}-/files/source/${encodeURIComponent(source)}`;
  }

  /** How the addresses of uploads to a source that go on begin. @param {string} source Its slug. */
  resumableUploads(source) {
    return `${this.base}-/files/${this._uploads(source)}/-/tus/`;
  }

  /**
   * The address of an upload in one request, by PUT; null by an upload link, which has none, and for one so
   * long that a proxy may refuse it.
   * @param {string} source @param {string} filename @param {Record<string, string | undefined>} given
   */
  wholeUpload(source, filename, given) {
    if (this._link !== null || !this.takesWhole) return null;
    const query = new URLSearchParams({ duplicate_of: "1" });
    for (const [name, value] of Object.entries(given)) if (value) query.set(name, value);
    const url = `${this.base}-/files/${this._uploads(source)}/${encodeURIComponent(filename)}?${query}`;
    return url.length > MAX_ADDRESS ? null : url;
  }

  /**
   * Store a file by one request, which may be repeated with the same headers.
   * @param {string} url From `wholeUpload`. @param {Record<string, string>} headers With `Idempotency-Key`.
   * @param {ArrayBuffer} body @returns {Promise<Completed>}
   */
  storeWhole(url, headers, body) {
    return requestJson(url, { method: "PUT", headers, body }, this._fetch);
  }

  /** The path of uploads to a source, or by the link. @param {string} source */
  _uploads(source) {
    if (this._link !== null) return `u/${encodeURIComponent(this._link)}`;
    return `upload/${encodeURIComponent(source)}`;
  }

  /** @param {string} path @param {unknown} body @param {AbortSignal} [signal] */
  _post(path, body, signal) {
    return this._request(path, posted(body, signal));
  }

  /** @param {string} path @param {RequestInit} options */
  _request(path, options) {
    return requestJson(`${this.base}-/files/${path}`, options, this._fetch);
  }
}

/** @param {unknown} body @param {AbortSignal} [signal] @returns {RequestInit} */
function posted(body, signal) {
  const headers = { "Content-Type": "application/json" };
  return { method: "POST", headers, body: JSON.stringify(body), signal };
}
