/**
 * One request with XMLHttpRequest, which reports the progress of a body; fetch does not. Leaves out what
 * the answer means for an upload (client.js, tus.js).
 */

import { ApiError } from "../shared/request.js";
import { bytesOf } from "./checksum.js";

/** Headers that only the browser may set; it logs a warning when a script does. */
const OWN_HEADERS = new Set(["content-length", "host"]);

/**
 * @typedef {object} Asked
 * @property {string} method
 * @property {string} url
 * @property {Record<string, string>} headers
 * @property {XMLHttpRequestBodyInit | null} [body]
 * @property {AbortSignal} [signal]
 * @property {(sent: number, total: number) => void} [onSent] Bytes of the body that have left, and all.
 */

/** @typedef {{status: number, text: string, header: (name: string) => string | null}} Answer */

/**
 * Send a request. Cookies go to this site alone. Raises ApiError `network` without an answer,
 * `permission_denied` for a redirect of this site, and the signal's reason.
 * @param {Asked} asked
 * @returns {Promise<Answer>}
 */
export function exchange({ method, url: address, headers, body = null, signal, onSent }) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const request = new XMLHttpRequest();
    const url = new URL(address, location.href);
    const own = url.origin === location.origin;
    request.open(method, url);
    if (own) request.setRequestHeader("Accept", "application/json");
    for (const [name, value] of Object.entries(headers)) {
      if (!OWN_HEADERS.has(name.toLowerCase())) request.setRequestHeader(name, value);
    }
    if (onSent) request.upload.onprogress = ({ loaded, total }) => onSent(loaded, total);
    request.onload = () => {
      // A storage may redirect, as S3 does to another region; this site does only to a sign-in page.
      if (own && request.responseURL !== url.href) return reject(ApiError.signedOut());
      const header = (/** @type {string} */ name) => request.getResponseHeader(name);
      resolve({ status: request.status, text: request.responseText, header });
    };
    request.onerror = () => reject(unanswered(url));
    request.onabort = () => reject(signal?.reason);
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}

/**
 * As `exchange`, for the bytes of a file. Raises ApiError `unreadable` too: browsers do not tell whether
 * the file is gone, or the server cannot be reached.
 * @param {Asked} asked @param {Blob} file
 */
export async function exchangeFile(asked, file) {
  try {
    return await exchange(asked);
  } catch (error) {
    if (error instanceof ApiError && error.code === "network") await bytesOf(file.slice(0, 1));
    throw error;
  }
}

/**
 * Browsers do not tell scripts why another server's answer is unreadable.
 * @param {URL} url
 */
function unanswered(url) {
  const message =
    url.origin === location.origin
      ? "The server could not be reached."
      : `The storage at ${url.host} cannot be reached, or does not accept uploads from this site.`;
  return new ApiError("network", message);
}
