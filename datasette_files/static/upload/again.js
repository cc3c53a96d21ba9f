/**
 * Further tries after a break: of a request, and of a file's bytes. Leaves out what is sent (client.js,
 * whole.js), and uploads that go on where they stopped (tus.js).
 */

import { ApiError } from "../shared/request.js";
import { orAborted } from "./checksum.js";
import { NETWORK } from "./network.js";

/** @import { Network } from "./network.js" */

/**
 * @typedef {object} TryOptions
 * @property {AbortSignal} [signal]
 * @property {(step: "sending" | "interrupted", why?: ApiError) => void} [onStep]
 * @property {(bytes: number) => void} [onProgress] Bytes of the file that have been sent.
 * @property {(milliseconds: number, signal?: AbortSignal) => Promise<void>} [sleep] For tests.
 * @property {Network} [network] For tests.
 */

/** Milliseconds before each further try of a request that tells only of the file. */
const PAUSES = [1000, 3000];
/** Milliseconds before each further try of the bytes. */
const SENDING = [1000, 3000, 10_000, 30_000];
/** Tries that find the one before still there, after which another upload begins. */
const HELD = 2;
/** Codes of errors that may pass by themselves. */
export const PASSING = new Set(["network", "storage_unavailable", "busy"]);

/**
 * Send the bytes; after a break, again. Raises ApiError, and the signal's reason.
 * @param {() => Promise<void>} send @param {string} url @param {TryOptions} options
 * @param {number} [mostHeld] After so many tries that find the one before still there it gives up.
 * @returns {Promise<boolean>} False: the server, or one that died, still holds the broken try.
 */
export async function sendAgain(send, url, options, mostHeld = HELD) {
  const { signal, onStep = () => {}, onProgress = () => {}, sleep = pause, network = NETWORK } = options;
  // A storage elsewhere may refuse this site for good, and browsers do not tell that from a break.
  const elsewhere = /^[a-z]+:/i.test(url);
  const pauses = elsewhere ? SENDING.slice(0, 1) : SENDING;
  let [broken, held] = [false, 0];
  for (let tries = 0; ; tries++) {
    try {
      await send();
      return true;
    } catch (error) {
      signal?.throwIfAborted();
      const code = error instanceof ApiError ? error.code : "";
      const [isHeld, isLast] = [broken && code === "conflict", tries >= pauses.length];
      if (!isHeld && (isLast || !PASSING.has(code))) throw error;
      if (isHeld) held += 1;
      if (held >= mostHeld || (isLast && mostHeld < Infinity)) return false;
      if (isLast) throw error;
      onStep("interrupted", /** @type {ApiError} */ (error));
    }
    broken = true;
    await (network.isOffline() ? network.wait : sleep)(pauses[tries], signal);
    onStep("sending");
    onProgress(0);
  }
}

/**
 * Repeat a request that failed for a passing reason, such as a restart of the server.
 * @template Answer
 * @param {() => Promise<Answer>} ask @param {TryOptions} options
 * @returns {Promise<Answer>}
 */
export async function patiently(ask, { signal, sleep = pause, network = NETWORK }) {
  for (const milliseconds of PAUSES) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ApiError && PASSING.has(error.code))) throw error;
    }
    // While the device is offline, files that wait in line go on waiting.
    await (network.isOffline() ? network.wait : sleep)(milliseconds, signal);
  }
  return ask();
}

/**
 * @param {number} milliseconds @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(milliseconds, signal) {
  return orAborted(new Promise((resolve) => setTimeout(resolve, milliseconds)), signal);
}
