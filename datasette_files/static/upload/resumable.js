/**
 * The bytes of one large file through Datasette, by an upload that goes on after a break; kept on the way
 * (kept.js), sent by tus (tus.js). Leaves out the other steps of an upload (client.js).
 */

import { ApiError } from "../shared/request.js";
import { begin, end, offsetOf, sendRest } from "./tus.js";

/** @import { ColumnPlace, Instructions } from "../api.js" */
/** @import { Answer, Asked } from "./exchange.js" */
/** @import { Kept, KeptUploads } from "./kept.js" */
/** @import { Network } from "./network.js" */

/** Bytes of a file from which it is sent so. */
export const RESUMABLE_FROM = 8 * 1024 * 1024;
/** The reason with which a signal aborts an upload that is to go on later. */
export const PAUSED = new DOMException("Paused", "AbortError");
/** Codes of errors after which there is no such upload, or nobody's to go on with. */
const LOST = new Set(["expired", "not_found", "permission_denied"]);
/** Codes of errors with which the server has ended the upload. */
const ENDED = new Set(["bad_type", "checksum_mismatch", "too_large", "invalid", "expired", "not_found"]);

/**
 * @typedef {object} ResumableOptions
 * @property {AbortSignal} [signal]
 * @property {KeptUploads} kept
 * @property {string | null} [address] Of an earlier try's upload in this page.
 * @property {ColumnPlace} [column]
 * @property {string} [replaces] The id of the file whose next version it is.
 * @property {(address: string | null) => void} onAddress The upload can be paused; null: no more.
 * @property {(bytes: number) => void} onOffset The bytes that the server has, before the rest is sent.
 * @property {(bytes: number) => void} onProgress Bytes of the file that have been sent.
 * @property {(error: ApiError) => void} onInterrupted It waits, and then tries again.
 * @property {(asked: Asked) => Promise<Answer>} [exchange] For tests.
 * @property {Network} [network] For tests.
 */

/**
 * Go on with an upload of this file that was begun before. Raises ApiError, and the signal's reason.
 * @param {string} below The addresses of uploads to the same place begin so.
 * @param {File} file
 * @param {ResumableOptions} options
 * @returns {Promise<string | null>} The token with which it is completed; null if there is none.
 */
export async function continueKept(below, file, options) {
  const { kept, address } = options;
  const described = await kept.describe(file, placeOf(options));
  const found = described === null ? [] : await kept.find(described, below);
  const known = found.map((one) => one.address);
  if (address && !known.includes(address)) known.unshift(address);
  for (const one of known) {
    const token = await goOn(one, described, file, options);
    if (token !== null) return token;
  }
  return null;
}

/**
 * @param {string} address @param {Omit<Kept, "address" | "touched"> | null} described @param {File} file
 * @param {ResumableOptions} options
 */
async function goOn(address, described, file, options) {
  const release = await options.kept.hold(address);
  if (release === null) return null; // another page sends it
  try {
    const offset = await offsetOf(address, options);
    if (described) await options.kept.keep({ ...described, address, touched: Date.now() });
    return await sendHeld(address, file, offset, options);
  } catch (error) {
    if (!(error instanceof ApiError && LOST.has(error.code))) throw error;
    // Another person's stays kept, who may sign in later.
    if (error.code !== "permission_denied") await options.kept.forget(address);
    return null;
  } finally {
    release();
  }
}

/**
 * Send a file by a new upload. Raises ApiError, and the signal's reason.
 * @param {string} url The `upload_resumable_url` of prepare.
 * @param {Instructions} prepared
 * @param {File} file
 * @param {string | undefined} sha256 In hexadecimal.
 * @param {ResumableOptions} options
 * @returns {Promise<string | null>} The token with which it is completed; null if the source takes no
 *   such uploads after all.
 */
export async function sendResumable(url, prepared, file, sha256, options) {
  const { kept } = options;
  const column = columnOf(options);
  const metadata = { filename: file.name, filetype: file.type, sha256, column };
  const { upload_token } = prepared;
  const address = await begin(url, file.size, { ...metadata, upload_token }, options);
  if (address === null) return null;
  const release = await kept.hold(address);
  try {
    const described = await kept.describe(file, placeOf(options));
    if (described !== null) await kept.keep({ ...described, address, touched: Date.now() });
    return await sendHeld(address, file, 0, options);
  } finally {
    release?.();
  }
}

/**
 * @param {string} address @param {File} file @param {number} offset @param {ResumableOptions} options
 * @returns {Promise<string>}
 */
async function sendHeld(address, file, offset, options) {
  const { kept, signal, onAddress, exchange } = options;
  try {
    onAddress(address);
    await sendRest(address, file, { ...options, offset });
    onAddress(null);
    await kept.forget(address);
    return tokenOf(address);
  } catch (error) {
    if (signal?.aborted && signal.reason !== PAUSED) await drop(kept, address, exchange);
    else if (error instanceof ApiError && ENDED.has(error.code)) {
      onAddress(null);
      await kept.forget(address);
    }
    throw error;
  }
}

/**
 * Give an upload up: its bytes are removed.
 * @param {KeptUploads} kept @param {string} address
 * @param {(asked: Asked) => Promise<Answer>} [exchange] For tests.
 */
export async function drop(kept, address, exchange) {
  await kept.forget(address);
  try {
    await end(address, exchange);
  } catch (error) {
    // The server removes what nobody goes on with.
    console.info("An upload could not be ended:", error);
  }
}

/** The token of complete for an upload that has all its bytes. @param {string} address */
function tokenOf(address) {
  return `resumable/${address.slice(address.lastIndexOf("/") + 1)}`;
}

/** @param {Pick<ResumableOptions, "column">} options */
function columnOf({ column }) {
  return column ? JSON.stringify(column) : "";
}

/** What the file is for: a new version is not continued as another upload. @param {ResumableOptions} options */
function placeOf({ column, replaces }) {
  return columnOf({ column }) + (replaces ?? "");
}
