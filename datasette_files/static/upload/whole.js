/**
 * A small file in one request. The server knows it by a key when it is sent again, so that a lost answer
 * stores no file twice. Leaves out the other ways (client.js).
 */

import { ApiError, answered } from "../shared/request.js";
import { PASSING, sendAgain } from "./again.js";
import { bytesOf, digestOf, hasDigests, inHexadecimal, orAborted } from "./checksum.js";
import { exchangeFile } from "./exchange.js";

/** @import { Completed, FilesApi } from "../api.js" */
/** @import { UploadOptions } from "./client.js" */

/** Bytes of the largest file that is sent so. */
const LARGEST = 256 * 1024;

/** The keys of files whose outcome is not known, by their address. @type {WeakMap<Blob, Map<string, string>>} */
const keys = new WeakMap();

/**
 * The address to which the file can go in one request; null: prepare has to tell how it is sent, as for a
 * source whose storage takes the bytes itself.
 * @param {FilesApi} api @param {string} source @param {File} file @param {UploadOptions} options
 */
export function wholeUpload(api, source, file, { column, folder, replaces }) {
  if (file.size > LARGEST || column !== undefined || !api.receives.has(source)) return null;
  return api.wholeUpload(source, file.name, { folder, replaces });
}

/**
 * Raises ApiError, and the signal's reason.
 * @param {string} url From `wholeUpload`. @param {File} file @param {UploadOptions} options
 * @returns {Promise<Completed>}
 */
export async function sendWhole(url, file, options) {
  const { signal, onStep = () => {}, onProgress = () => {}, exchange = exchangeFile } = options;
  // Its bytes, as the browser would keep a part of the file for each try.
  const body = await orAborted(bytesOf(file), signal);
  const headers = await headersOf(file, body);
  const onSent = (/** @type {number} */ sent, /** @type {number} */ total) => {
    onProgress(sent);
    if (sent >= total) onStep("finishing"); // nothing can be cancelled any more
  };
  const known = keys.get(file) ?? new Map();
  keys.set(file, known);
  /** @type {Completed} */
  let told = {};
  const send = async () => {
    const key = known.get(url) ?? newKey();
    known.set(url, key);
    const asked = { method: "PUT", url, headers: { ...headers, "Idempotency-Key": key }, body, signal, onSent };
    told = answered(await exchange(asked, file));
  };
  onStep("sending");
  try {
    const isSent = await sendAgain(send, url, options);
    known.delete(url);
    return isSent ? told : await sendWhole(url, file, options);
  } catch (error) {
    // Of any other error the server is sure; after these the file may be there.
    const unsure = !(error instanceof ApiError) || PASSING.has(error.code) || error.code === "conflict";
    if (!unsure) known.delete(url);
    throw error;
  }
}

/** @param {File} file @param {ArrayBuffer} bytes */
async function headersOf(file, bytes) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (file.type) headers["Content-Type"] = file.type;
  if (hasDigests()) {
    const digest = new Uint8Array(await digestOf(bytes));
    headers["Repr-Digest"] = `sha-256=:${btoa(String.fromCharCode(...digest))}:`;
  }
  return headers;
}

/** 160 random bits. `crypto.randomUUID` is not offered on pages without TLS. */
function newKey() {
  return inHexadecimal(crypto.getRandomValues(new Uint8Array(20)));
}
