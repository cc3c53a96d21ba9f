/**
 * Requests to this site, and what their failures mean. Leaves out which addresses there are (api.js)
 * and the bytes of an upload (upload/client.js), whose progress fetch does not report.
 *
 * Datasette refuses requests of other sites by the headers that browsers add (Origin, Sec-Fetch-Site),
 * so a same-origin request needs no token.
 */

/** Codes by status, for an answer that is not the API's, such as a page of a proxy. */
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

/** Statuses by which proxies refuse a method, or an address that is too long. */
const BARRED = new Set([403, 405, 414, 501]);

/** The reason in the page with which Datasette refuses a request of another site (its csrf.py). */
const OTHER_SITE = /does not match Host|Sec-Fetch-Site was/;

/**
 * A request that failed. `code` is one of docs/api.md's list, or `network` when no answer came,
 * `busy` when a proxy wants fewer requests, `other_site` when Datasette took the page for another site's,
 * or `unexpected` when the answer was not the API's.
 * `status` is 0 without an answer.
 */
export class ApiError extends Error {
  /** @param {string} code @param {string} message @param {number} [status] */
  constructor(code, message, status = 0) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
    /** Whether something before the server refused the method or the address. */
    this.isBarred = false;
  }

  /**
   * The error that an answer means.
   * @param {number} status @param {string} text The answer's body.
   */
  static of(status, text) {
    const body = parsed(text);
    if (typeof body?.code === "string") return new ApiError(body.code, body.error, status);
    const code = status === 403 && !body && OTHER_SITE.test(text) ? "other_site" : CODES[status];
    const error = new ApiError(code ?? "unexpected", body?.error ?? "", status);
    error.isBarred = !body && code !== "other_site" && BARRED.has(status);
    return error;
  }

  /** The error that a redirect means: the API has none, so it leads to a sign-in page. */
  static signedOut() {
    return new ApiError("permission_denied", "You are no longer signed in.");
  }

  /** Any error as one that people can be told; a fault of this code is logged. @param {unknown} error */
  static from(error) {
    if (error instanceof ApiError) return error;
    console.error(error);
    return new ApiError("unexpected", "");
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

/**
 * Send a request. Raises ApiError without an answer or with a redirect, and the signal's reason once
 * it is aborted.
 * @param {string} url @param {RequestInit} options @param {typeof fetch} [fetcher] For tests.
 * @returns {Promise<{status: number, text: string}>}
 */
export async function request(url, options, fetcher = fetch) {
  try {
    const response = await fetcher(url, { ...options, redirect: "manual" });
    if (response.type === "opaqueredirect") throw ApiError.signedOut();
    return { status: response.status, text: await response.text() };
  } catch (error) {
    if (options.signal?.aborted || error instanceof ApiError) throw error;
    throw new ApiError("network", "The server did not answer.");
  }
}

/**
 * Send a request to the API. Raises what `request` raises, and ApiError for any answer but a success.
 * @param {string} url @param {RequestInit} [options] @param {typeof fetch} [fetcher] For tests.
 * @returns {Promise<any>} The answer's JSON.
 */
export async function requestJson(url, options = {}, fetcher) {
  const headers = { Accept: "application/json", ...options.headers };
  return answered(await request(url, { ...options, headers }, fetcher));
}

/**
 * The JSON of a successful answer of the API. Raises ApiError for any other answer.
 * @param {{status: number, text: string}} answer @returns {any}
 */
export function answered({ status, text }) {
  const body = parsed(text);
  if (status < 200 || status >= 300 || body?.ok !== true) throw ApiError.of(status, text);
  return body;
}
