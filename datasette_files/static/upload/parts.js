/**
 * The bytes of one large file, sent straight to the storage in parts: a few at a time, each repeated by
 * itself when it fails. Leaves out one request for one part (client.js) and the other steps of an upload.
 */

import { ApiError } from "../shared/request.js";

/** @import { FilesApi, Instructions, UploadParts } from "../api.js" */

/** Parts on their way at once. */
const AT_ONCE = 4;
/** Parts for which URLs are asked in one request: a slow client must send them before they expire. */
const SIGNED = 16;
/** Milliseconds before each further try of a part, and of a request for URLs. */
const PAUSES = [1000, 3000, 10_000, 30_000, 60_000];
/** Codes of errors that may pass by themselves; a URL that has expired is signed anew. */
const PASSING = new Set(["network", "storage_unavailable", "busy", "timeout", "expired", "checksum_mismatch"]);

/**
 * @typedef {object} PartsOptions
 * @property {AbortSignal} [signal]
 * @property {(bytes: number) => void} onProgress Bytes of the file that have been sent.
 * @property {(instructions: Instructions, part: Blob, options: {signal?: AbortSignal,
 *   onProgress: (bytes: number) => void}) => Promise<void>} send Sends one part.
 * @property {(milliseconds: number, signal?: AbortSignal) => Promise<void>} sleep
 */

/**
 * Send every part. Raises ApiError, and the signal's reason. False if not even one could be sent, as when
 * the bucket's CORS rules allow POST alone: then the other way that prepare offered may work.
 * @param {FilesApi} api
 * @param {Instructions & {upload_parts: UploadParts}} prepared The answer of prepare.
 * @param {Blob} file
 * @param {PartsOptions} options
 * @returns {Promise<boolean>}
 */
export async function sendParts(api, prepared, file, options) {
  const { part_size: size, count } = prepared.upload_parts;
  const ended = new AbortController();
  options.signal?.throwIfAborted();
  options.signal?.addEventListener("abort", () => ended.abort(options.signal?.reason), { once: true });
  const sending = new Sending(api, prepared, { ...options, signal: ended.signal });
  let next = 1;
  const work = async () => {
    while (next <= count) {
      const number = next++;
      const start = (number - 1) * size;
      await sending.part(number, file.slice(start, Math.min(start + size, file.size)));
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, work));
    return true;
  } catch (error) {
    ended.abort(); // the others need not go on
    options.signal?.throwIfAborted();
    if (sending.accepted === 0 && error instanceof ApiError && error.code === "network") return false;
    throw error;
  }
}

/** One file on its way: the URLs that are signed, and the bytes that each part has sent. */
class Sending {
  /**
   * @param {FilesApi} api @param {Instructions & {upload_parts: UploadParts}} prepared
   * @param {PartsOptions} options
   */
  constructor(api, prepared, options) {
    /** Parts that have arrived. */
    this.accepted = 0;
    this._total = 0;
    this._api = api;
    this._prepared = prepared;
    this._options = options;
    /** @type {Map<number, Promise<Instructions>>} */
    this._signed = new Map();
    /** Bytes by part. @type {Map<number, number>} */
    this._sent = new Map();
  }

  /** @param {number} number @param {Blob} blob */
  async part(number, blob) {
    const { signal, send, sleep } = this._options;
    for (let tries = 1; ; tries++) {
      try {
        const instructions = await this._instructions(number);
        await send(instructions, blob, { signal, onProgress: (bytes) => this._progress(number, bytes) });
        this._progress(number, blob.size);
        this.accepted += 1;
        return;
      } catch (error) {
        this._progress(number, 0);
        this._signed.delete(number);
        const passing = error instanceof ApiError && PASSING.has(error.code);
        // While nothing has arrived, there may be a lasting reason.
        const pauses = this.accepted === 0 ? PAUSES.slice(0, 1) : PAUSES;
        if (!passing || tries > pauses.length) throw error;
        await sleep(pauses[tries - 1], signal);
      }
    }
  }

  /** @param {number} number @param {number} bytes */
  _progress(number, bytes) {
    this._total += bytes - (this._sent.get(number) ?? 0);
    this._sent.set(number, bytes);
    this._options.onProgress(this._total);
  }

  /**
   * How to send a part. URLs for the parts after it are asked for in the same request.
   * @param {number} number
   * @returns {Promise<Instructions>}
   */
  _instructions(number) {
    const known = this._signed.get(number);
    if (known !== undefined) return known;
    const { upload_parts: parts, upload_token: token } = this._prepared;
    const wanted = [number];
    // After a failure only the part itself: the URLs of the others are still good.
    for (let other = number + 1; wanted.length < SIGNED && other <= parts.count; other++) {
      if (this._signed.has(other) || this._sent.has(other)) break;
      wanted.push(other);
    }
    const answer = this._api.signParts(parts.sign_url, token, wanted, this._options.signal);
    for (const one of wanted) {
      const instructions = answer.then(({ parts: signed }) => instructionsOf(token, signed, one));
      instructions.catch(() => {}); // told to the part that needs it
      this._signed.set(one, instructions);
    }
    return /** @type {Promise<Instructions>} */ (this._signed.get(number));
  }
}

/**
 * @param {string} token
 * @param {{number: number, url: string, headers: Record<string, string>}[]} signed
 * @param {number} number
 * @returns {Instructions}
 */
function instructionsOf(token, signed, number) {
  const part = signed.find((one) => one.number === number);
  if (part === undefined) throw new ApiError("unexpected", "");
  return {
    upload_token: token,
    upload_url: part.url,
    upload_method: "PUT",
    upload_headers: part.headers,
    upload_fields: {},
  };
}
