/**
 * The sha256 of files up to 64 MiB, so that the server can verify the bytes that arrive. Leaves out
 * larger files, because SubtleCrypto needs a whole file in memory.
 */

import { ApiError } from "../shared/request.js";

/** Bytes of the largest file that is digested. */
export const MAX_DIGESTED = 64 * 1024 * 1024;
/** How many files are in memory at once. */
const AT_ONCE = 2;

let running = 0;
/** @type {(() => void)[]} */
const waiting = [];

/**
 * @param {Blob} file
 * @param {AbortSignal} [signal]
 * @returns {Promise<string | undefined>} In hexadecimal; undefined for a large file, and without `hasDigests`.
 */
export async function sha256(file, signal) {
  if (!hasDigests() || file.size > MAX_DIGESTED) return undefined;
  return orAborted(inTurn(file, signal), signal);
}

/** @param {Blob} file @param {AbortSignal} [signal] */
async function inTurn(file, signal) {
  if (running >= AT_ONCE) await new Promise((resolve) => waiting.push(() => resolve(null)));
  else running += 1;
  try {
    signal?.throwIfAborted();
    return inHexadecimal(new Uint8Array(await digestOf(await bytesOf(file))));
  } finally {
    // Hand the place to the next in line, or free it.
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

/** Whether the browser computes digests; on a page without TLS it does not. */
export function hasDigests() {
  return globalThis.crypto?.subtle !== undefined;
}

/** Of bytes in memory. @param {ArrayBuffer} bytes */
export function digestOf(bytes) {
  return crypto.subtle.digest("SHA-256", bytes);
}

/** @param {Uint8Array} octets */
export function inHexadecimal(octets) {
  return Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");
}

/**
 * Wait for a promise, but only until the signal aborts. The work behind the promise goes on: a read
 * from a slow disk cannot be stopped.
 * @template Result
 * @param {Promise<Result>} promise @param {AbortSignal} [signal]
 * @returns {Promise<Result>}
 */
export function orAborted(promise, signal) {
  const aborted = new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  return Promise.race([promise, /** @type {Promise<never>} */ (aborted)]);
}

/** Raises ApiError `unreadable`, also for a file that has changed since it was chosen. @param {Blob} file */
export async function bytesOf(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new ApiError("unreadable", "The browser could not read the file.");
  }
}
