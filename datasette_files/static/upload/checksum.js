/**
 * The sha256 of small files, so that the server can verify what arrived. Leaves out files over
 * 64 MiB: SubtleCrypto takes a file whole, and so memory bounds what can be digested.
 */

import { ApiError } from "../shared/request.js";

/** Bytes. */
export const MAX_DIGESTED = 64 * 1024 * 1024;
/** How many are in memory at once. */
const AT_ONCE = 2;

let running = 0;
/** @type {(() => void)[]} */
const waiting = [];

/**
 * @param {Blob} file
 * @param {AbortSignal} [signal]
 * @returns {Promise<string | undefined>} In hexadecimal; undefined for a large file, and where the
 *   browser digests nothing, as on a page that came without TLS.
 */
export async function sha256(file, signal) {
  if (globalThis.crypto?.subtle === undefined || file.size > MAX_DIGESTED) return undefined;
  return orAborted(inTurn(file, signal), signal);
}

/** @param {Blob} file @param {AbortSignal} [signal] */
async function inTurn(file, signal) {
  if (running >= AT_ONCE) await new Promise((resolve) => waiting.push(() => resolve(null)));
  else running += 1;
  try {
    signal?.throwIfAborted();
    const digest = await crypto.subtle.digest("SHA-256", await bytesOf(file));
    const octets = Array.from(new Uint8Array(digest));
    return octets.map((octet) => octet.toString(16).padStart(2, "0")).join("");
  } finally {
    // The place goes to the next in line, or is free.
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

/**
 * Wait for a promise no longer than until the signal. What it stands for goes on: reading a slow disk
 * cannot be called off.
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

/** Raises ApiError `unreadable`, also of a file changed since it was chosen. @param {Blob} file */
export async function bytesOf(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new ApiError("unreadable", "The browser could not read the file.");
  }
}
