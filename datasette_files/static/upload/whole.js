/**
 * A small file in one request. The server knows it by a key when it is sent again, so that a lost answer
 * stores no file twice. Leaves out the other ways (client.js).
 */

import { TEXT } from "../shared/messages.js";
import { ApiError } from "../shared/request.js";
import { sendAgain } from "./again.js";
import { bytesOf, digestOf, hasDigests, inHexadecimal, orAborted } from "./checksum.js";

/** @import { Completed, FilesApi } from "../api.js" */
/** @import { UploadOptions } from "./client.js" */

/** Bytes of the largest file that is sent so. */
const LARGEST = 256 * 1024;
/** Errors after which the file of a key is not there, or is no more; after any other it may be. */
const ANOTHER_KEY = new Set(["invalid", "not_found"]);

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
 * Raises ApiError, and the signal's reason if no byte has left.
 * @param {FilesApi} api @param {string} url From `wholeUpload`. @param {File} file
 * @param {UploadOptions} options
 * @returns {Promise<Completed | null>} Null: something before the server lets no such request pass.
 */
export async function sendWhole(api, url, file, options) {
  const { signal, onStep = () => {} } = options;
  const body = await orAborted(bytesOf(file), signal);
  const headers = await headersOf(file, body);
  const known = keys.get(file) ?? new Map();
  keys.set(file, known);
  let tries = known.has(url) ? 1 : 0;
  const key = known.get(url) ?? newKey();
  /** @type {Completed} */
  let told = {};
  let isSent = false;
  const send = async () => {
    known.set(url, key);
    isSent = true;
    tries += 1;
    onStep("finishing"); // it takes a moment, and from here on may be stored
    told = await api.storeWhole(url, { ...headers, "Idempotency-Key": key }, body);
  };
  try {
    signal?.throwIfAborted();
    // With another key a request that the server is still at would store a second file.
    await sendAgain(send, url, options, Infinity);
    known.delete(url);
    return told;
  } catch (error) {
    if (error instanceof ApiError && ANOTHER_KEY.has(error.code)) known.delete(url);
    if (isSent && signal?.aborted) throw new ApiError("network", TEXT.mayBeStored);
    // A try before this one may have stored the file, which another way would store again.
    if (!(error instanceof ApiError && error.isBarred && tries === 1)) throw error;
    known.delete(url);
    return null;
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
