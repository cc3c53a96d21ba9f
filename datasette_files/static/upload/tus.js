/**
 * Uploads that go on after a break, by tus 1.0.0 (tus.io/protocols/resumable-upload): begin one, ask how
 * far it is, send the rest in chunks, end it. Leaves out which uploads there are (kept.js).
 *
 * Each chunk is one request with its sha256, so what counts as sent is what the server has stored. While a
 * chunk is sent, the browser hashes the next one in a thread of its own.
 */

import { ApiError } from "../shared/request.js";
import { bytesOf } from "./checksum.js";
import { exchange as realExchange } from "./exchange.js";
import { NETWORK } from "./network.js";

/** @import { Answer, Asked } from "./exchange.js" */
/** @import { Network } from "./network.js" */

/**
 * Bytes of the largest and the smallest chunk. It shrinks where connections break, so that some get through.
 * With chunks of 8 MiB a page that sent 10 GiB grew by 390 MiB, and was not faster.
 */
const LARGEST = 4 * 1024 * 1024;
const SMALLEST = 256 * 1024;
/** Milliseconds before each further try; the last for all that follow. */
const PAUSES = [1000, 2000, 5000, 10_000, 30_000, 60_000];
/** Milliseconds without a sent byte after which a request is ended: the connection may be dead. */
const STALLED = 60_000;
/** Codes of errors that may pass by themselves. */
const PASSING = new Set([
  ...["network", "timeout", "busy", "conflict"],
  ...["storage_unavailable", "storage_error", "checksum_mismatch"],
]);
/** Tries in a row after which bytes that arrive damaged are an error. */
const DAMAGED = 3;
const VERSION = { "Tus-Resumable": "1.0.0" };

/**
 * @typedef {object} RestOptions
 * @property {AbortSignal} [signal]
 * @property {number} [offset] Where it goes on, if that is known.
 * @property {(bytes: number) => void} onOffset The bytes that the server has, before the rest is sent.
 * @property {(bytes: number) => void} onProgress Bytes of the file that have been sent.
 * @property {(error: ApiError) => void} onInterrupted It waits, and then tries again.
 * @property {(asked: Asked) => Promise<Answer>} [exchange] For tests.
 * @property {Network} [network] For tests.
 */

/**
 * Begin an upload. Raises ApiError.
 * @param {string} url The address of all such uploads.
 * @param {number} size In bytes.
 * @param {Record<string, string | undefined>} metadata
 * @param {{signal?: AbortSignal, exchange?: (asked: Asked) => Promise<Answer>}} [options]
 * @returns {Promise<string | null>} Its address; null if the source takes no such uploads.
 */
export async function begin(url, size, metadata, { signal, exchange = realExchange } = {}) {
  const pairs = Object.entries(metadata).filter(([, value]) => value);
  const headers = {
    ...VERSION,
    "Upload-Length": String(size),
    "Upload-Metadata": pairs.map(([name, value]) => `${name} ${base64(value ?? "")}`).join(),
  };
  const answer = await exchange({ method: "POST", url, headers, signal });
  if (answer.status === 405) return null;
  const path = answer.header("Location");
  if (answer.status !== 201 || path === null) throw ApiError.of(answer.status, answer.text);
  return path;
}

/**
 * The bytes of an upload that the server has stored. Raises ApiError.
 * @param {string} url Its address.
 * @param {{signal?: AbortSignal, exchange?: (asked: Asked) => Promise<Answer>}} [options]
 */
export async function offsetOf(url, { signal, exchange = realExchange } = {}) {
  const answer = await exchange({ method: "HEAD", url, headers: VERSION, signal });
  return toldOffset(answer, 200);
}

/**
 * End an upload; the server removes its bytes. Raises ApiError without an answer.
 * @param {string} url @param {(asked: Asked) => Promise<Answer>} [exchange]
 */
export async function end(url, exchange = realExchange) {
  await exchange({ method: "DELETE", url, headers: VERSION });
}

/**
 * Send what the server does not have yet. Goes on by itself after whatever may pass, with growing pauses.
 * Raises ApiError for what does not pass, and the signal's reason.
 * @param {string} url The upload's address.
 * @param {Blob} file
 * @param {RestOptions} options
 */
export async function sendRest(url, file, options) {
  const { signal, onOffset, onInterrupted, network = NETWORK } = options;
  const chunks = new Chunks(url, file, options);
  let offset = options.offset ?? null;
  /** @type {ApiError | null} */
  let last = null;
  for (let failures = 0; ; ) {
    try {
      offset ??= await offsetOf(url, options);
      onOffset(offset);
      while (offset < file.size) {
        offset = await chunks.send(offset);
        [failures, last] = [0, null];
      }
      return;
    } catch (error) {
      signal?.throwIfAborted();
      const known = ApiError.from(error);
      if (chunks.fitsSmaller(known)) continue;
      // The server ended the upload for the reason that it told before.
      if (last?.code === "checksum_mismatch" && !passes(known)) throw last;
      failures += 1;
      if (!passes(known) || (known.code === "checksum_mismatch" && failures >= DAMAGED)) throw known;
      [offset, last] = [null, known];
      if (known.code !== "conflict") chunks.shrink(); // else another request had the upload
      onInterrupted(known);
      await network.wait(PAUSES[Math.min(failures, PAUSES.length) - 1], signal);
    }
  }
}

/** @param {ApiError} error */
function passes({ code, status }) {
  return PASSING.has(code) || (code === "unexpected" && status >= 500);
}

/** Sends chunks, and hashes the next one meanwhile. */
class Chunks {
  /** @param {string} url @param {Blob} file @param {RestOptions} options */
  constructor(url, file, options) {
    this._url = url;
    this._file = file;
    this._options = options;
    this._size = LARGEST;
    this._largest = LARGEST;
    /** The checksums of chunks by their places: of the one that is sent, and the next. */
    this._checksums = /** @type {Map<string, Promise<string | null>>} */ (new Map());
  }

  shrink() {
    this._size = Math.max(SMALLEST, this._size / 2);
    this._checksums.clear();
  }

  /**
   * Whether smaller chunks may pass: a proxy refused one, whose page is no answer of the API.
   * @param {ApiError} error
   */
  fitsSmaller({ status, message }) {
    if (status !== 413 || message !== "" || this._size === SMALLEST) return false;
    this.shrink();
    this._largest = this._size;
    return true;
  }

  /**
   * @param {number} offset
   * @returns {Promise<number>} The server's new offset.
   */
  async send(offset) {
    const { exchange = realExchange, network = NETWORK, onProgress } = this._options;
    const { start, blob, checksum } = this._at(offset);
    /** @type {Record<string, string>} */
    const headers = {
      ...VERSION,
      "Content-Type": "application/offset+octet-stream",
      "Upload-Offset": String(start),
    };
    const digest = await checksum;
    if (digest !== null) headers["Upload-Checksum"] = `sha256 ${digest}`;
    const watch = new Watch(network, this._options.signal);
    try {
      const sending = exchange({
        ...{ method: "PATCH", url: this._url, headers, body: blob, signal: watch.signal },
        onSent: (bytes) => {
          watch.sent(bytes >= blob.size);
          onProgress(start + Math.min(bytes, blob.size));
        },
      });
      this._checksums.clear();
      if (start + blob.size < this._file.size) this._at(start + blob.size);
      const next = toldOffset(await sending, 204);
      onProgress(next);
      this._size = Math.min(this._largest, this._size * 2);
      return next;
    } catch (error) {
      onProgress(start); // what was on its way does not count
      throw error;
    } finally {
      watch.end();
    }
  }

  /** The chunk at a place of the file, and its checksum. @param {number} start */
  _at(start) {
    const blob = this._file.slice(start, start + this._size);
    const place = `${start} ${blob.size}`;
    const checksum = this._checksums.get(place) ?? sha256Base64(blob);
    checksum.catch(() => {}); // told to the one who sends it
    this._checksums.set(place, checksum);
    return { start, blob, checksum };
  }
}

/** Ends a request when the device goes offline, or when no more bytes leave. */
class Watch {
  /** @param {Network} network @param {AbortSignal} [signal] */
  constructor(network, signal) {
    this._ended = new AbortController();
    this._over = new AbortController();
    this.signal = this._ended.signal;
    const over = { signal: this._over.signal };
    if (signal?.aborted) this._ended.abort(signal.reason);
    signal?.addEventListener("abort", () => this._ended.abort(signal.reason), over);
    network.onOffline(() => this._fail("network", "This device is offline."), this._over.signal);
    this._timer = this._later();
  }

  /** Bytes have left. @param {boolean} all The server may now take its time. */
  sent(all) {
    clearTimeout(this._timer);
    if (!all) this._timer = this._later();
  }

  end() {
    clearTimeout(this._timer);
    this._over.abort();
  }

  _later() {
    return setTimeout(() => this._fail("timeout", "The connection does not move."), STALLED);
  }

  /** @param {string} code @param {string} message */
  _fail(code, message) {
    this._ended.abort(new ApiError(code, message));
  }
}

/** @param {Answer} answer @param {number} success Its status. */
function toldOffset(answer, success) {
  const offset = Number(answer.header("Upload-Offset") ?? NaN);
  if (answer.status !== success || !Number.isSafeInteger(offset)) {
    throw ApiError.of(answer.status, answer.text);
  }
  return offset;
}

/** @param {Blob} blob @returns {Promise<string | null>} Null without TLS, where browsers hash nothing. */
async function sha256Base64(blob) {
  const bytes = await bytesOf(blob); // before it is sent: a file that is gone is told as such
  if (globalThis.crypto?.subtle === undefined) return null;
  return encoded(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

/** @param {string} text */
function base64(text) {
  return encoded(new TextEncoder().encode(text));
}

/** @param {Uint8Array} bytes */
function encoded(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
