/**
 * The HTTP API of datasette-files (docs/api.md) as promises. Leaves out the bytes of an upload
 * (upload/client.js) and anything of a page.
 *
 * Datasette refuses requests of other sites by what browsers say of a request's origin, so a
 * same-origin request needs no token.
 */

/**
 * A file as the API gives it: complete and the lists name what is here, and some more.
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
 */

/**
 * A page of a list or a search.
 * @typedef {object} FilePage
 * @property {FileRecord[]} files
 * @property {number} total
 * @property {boolean} [count_truncated] Whether there are more than `total`.
 * @property {string | null} next
 */

/**
 * A source as sources.json gives it.
 * @typedef {object} SourceRecord
 * @property {string} slug
 * @property {string} label
 * @property {{can_upload: boolean}} capabilities Of its storage.
 * @property {boolean} can_browse The actor.
 * @property {boolean} can_upload The actor.
 */

/** The file column that an upload is for. @typedef {{database: string, table: string,
 *   column: string}} ColumnPlace */

/**
 * What prepare answers: where the bytes go, and how.
 * @typedef {object} Instructions
 * @property {string} upload_token
 * @property {string} upload_url
 * @property {string} upload_method
 * @property {Record<string, string>} upload_headers
 * @property {Record<string, string>} upload_fields
 */

/** The code of an answer that is not the API's, such as a proxy's own page, by its status. */
const CODES = /** @type {Record<number, string>} */ ({
  400: "invalid",
  401: "permission_denied",
  403: "permission_denied",
  404: "not_found",
  405: "not_supported",
  408: "timeout",
  409: "conflict",
  410: "expired",
  413: "too_large",
  415: "bad_type",
  429: "busy",
  502: "storage_unavailable",
  503: "storage_unavailable",
  504: "storage_unavailable",
  507: "no_space",
});

/**
 * A request that failed. `code` is of docs/api.md's list, or `network` when no answer came, `busy`
 * when a proxy wants fewer requests, or `unexpected` when the answer was none of the API's. `status`
 * is 0 without an answer.
 */
export class ApiError extends Error {
  /** @param {string} code @param {string} message @param {number} [status] */
  constructor(code, message, status = 0) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
  }

  /**
   * Of an answer that was not a success; its body as text.
   * @param {number} status @param {string} text
   */
  static of(status, text) {
    const body = parsed(text);
    if (typeof body?.code === "string") return new ApiError(body.code, body.error, status);
    return new ApiError(CODES[status] ?? "unexpected", body?.error ?? "", status);
  }

  /** Of a redirect: the API has none, so it leads to where one signs in. */
  static signedOut() {
    return new ApiError("permission_denied", "You are no longer signed in.");
  }
}

/** @param {string} text @returns {any} The JSON, or null where it is none. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export class FilesApi {
  /**
   * @param {string} [base] Datasette's `base_url`: a path that ends with a slash.
   * @param {typeof fetch} [fetcher] For tests.
   */
  constructor(base = "/", fetcher = (...request) => fetch(...request)) {
    this.base = base;
    this._fetch = fetcher;
  }

  /**
   * @param {string} source
   * @param {{filename: string, content_type?: string, size?: number, sha256?: string,
   *   column?: ColumnPlace}} declared
   * @param {AbortSignal} [signal]
   * @returns {Promise<Instructions>}
   */
  prepare(source, declared, signal) {
    return this._post(`upload/${encodeURIComponent(source)}/-/prepare`, declared, signal);
  }

  /**
   * May be repeated: the answer is the same.
   * @param {string} source @param {string} token
   * @param {AbortSignal} [signal]
   * @returns {Promise<{file: FileRecord}>}
   */
  complete(source, token, signal) {
    const path = `upload/${encodeURIComponent(source)}/-/complete`;
    return this._post(path, { upload_token: token }, signal);
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
   * Several files at once; those that are absent or not open to the reader are left out.
   * @param {string[]} ids At most 200.
   * @param {AbortSignal} [signal]
   * @returns {Promise<{files: Record<string, {id: string, filename: string, content_type: string | null,
   *   size: number | null, download_url: string, thumbnail_url: string, info_url: string}>}>}
   */
  batch(ids, signal) {
    return this._request(`batch.json?${new URLSearchParams(ids.map((id) => ["id", id]))}`, { signal });
  }

  /**
   * One source's files.
   * @param {string} source
   * @param {Record<string, string> | string[][]} [query] As docs/api.md lists the arguments.
   * @param {AbortSignal} [signal]
   * @returns {Promise<FilePage>}
   */
  list(source, query = {}, signal) {
    const path = `source/${encodeURIComponent(source)}.json?${new URLSearchParams(query)}`;
    return this._request(path, { signal });
  }

  /**
   * Those that the actor may browse or upload to.
   * @param {AbortSignal} [signal]
   * @returns {Promise<{sources: SourceRecord[]}>}
   */
  sources(signal) {
    return this._request("sources.json", { signal });
  }

  /**
   * @param {string} id @param {{search_text: string}} changes
   * @returns {Promise<{file?: FileRecord}>}
   */
  update(id, changes) {
    return this._post(`${encodeURIComponent(id)}/-/update`, { update: changes });
  }

  /** @param {string} id @returns {Promise<unknown>} */
  delete(id) {
    return this._post(`${encodeURIComponent(id)}/-/delete`, {});
  }

  /** @param {string} source The address of the page of one source. */
  sourcePage(source) {
    return `${this.base}-/files/source/${encodeURIComponent(source)}`;
  }

  /** @param {string} path @param {unknown} body @param {AbortSignal} [signal] */
  _post(path, body, signal) {
    return this._request(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
  }

  /**
   * Raises ApiError, and as it is the AbortError of the signal.
   * @param {string} path @param {RequestInit} request
   * @returns {Promise<any>}
   */
  async _request(path, request) {
    const headers = { Accept: "application/json", ...request.headers };
    let response, text;
    try {
      const options = { ...request, headers, redirect: /** @type {const} */ ("manual") };
      response = await this._fetch(`${this.base}-/files/${path}`, options);
      text = await response.text();
    } catch (error) {
      if (request.signal?.aborted) throw error;
      throw new ApiError("network", "The server did not answer");
    }
    if (response.type === "opaqueredirect") throw ApiError.signedOut();
    const body = parsed(text);
    if (!response.ok || body?.ok !== true) throw ApiError.of(response.status, text);
    return body;
  }
}
