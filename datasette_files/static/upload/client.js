/**
 * The upload of one file: checksum, prepare, send, complete. Leaves out waiting in line (queue.js) and
 * anything of a page.
 *
 * The answer of prepare says where and how the bytes are sent, so this module knows no storage.
 */

import { ApiError } from "../shared/request.js";
import { bytesOf, orAborted, sha256 } from "./checksum.js";
import { sendParts } from "./parts.js";

/** @import { ColumnPlace, FilesApi, FileRecord, Instructions } from "../api.js" */
/** @typedef {"checking" | "preparing" | "sending" | "finishing"} Step */

/**
 * @typedef {object} UploadOptions
 * @property {AbortSignal} [signal]
 * @property {(step: Step) => void} [onStep]
 * @property {(bytes: number) => void} [onProgress] Bytes of the file that have been sent.
 * @property {string} [token] The upload token of an earlier try whose bytes have all arrived.
 * @property {ColumnPlace} [column] The file column that the file is for; prepare applies its rules.
 * @property {typeof sendBytes} [send] For tests.
 * @property {(milliseconds: number, signal?: AbortSignal) => Promise<void>} [sleep] For tests.
 */

/** Milliseconds before each further try of prepare and of complete. */
const PAUSES = [1000, 3000];
/** Codes of errors that may pass by themselves. */
const PASSING = new Set(["network", "storage_unavailable", "busy"]);
/** Headers that only the browser may set; it logs a warning when a script does. */
const OWN_HEADERS = new Set(["content-length", "host"]);

/**
 * Our code for each error code of S3 (its API reference, "Error responses"), and a sentence where the
 * title of our code says too little.
 * @type {Record<string, [string, string]>}
 */
const STORE_ERRORS = {
  EntityTooLarge: ["too_large", "More bytes arrived than were announced."],
  EntityTooSmall: ["checksum_mismatch", "Fewer bytes arrived than were announced."],
  IncompleteBody: ["checksum_mismatch", ""],
  BadDigest: ["checksum_mismatch", ""],
  ExpiredToken: ["expired", ""],
  RequestTimeout: ["timeout", ""],
  InternalError: ["storage_unavailable", ""],
  ServiceUnavailable: ["storage_unavailable", ""],
  SlowDown: ["storage_unavailable", ""],
  QuotaExceeded: ["no_space", ""],
};

/** All bytes have arrived, but completing failed. With `token` it can be tried again. */
export class NotCompleted extends ApiError {
  /** @param {ApiError} error @param {string} token */
  constructor(error, token) {
    super(error.code, error.message, error.status);
    this.token = token;
  }
}

/**
 * Upload a file. Raises ApiError, NotCompleted when only the last step failed, and the signal's AbortError.
 * @param {FilesApi} api
 * @param {string} source
 * @param {File} file
 * @param {UploadOptions} [options]
 * @returns {Promise<FileRecord>}
 */
export async function uploadFile(api, source, file, options = {}) {
  const { signal, onStep = () => {}, onProgress = () => {}, send = sendBytes } = options;
  if (options.token !== undefined) {
    onStep("finishing");
    const record = await finishEarlier(api, source, options.token, options);
    if (record !== null) return record;
  }
  onStep("checking");
  const digest = await sha256(file, signal);
  onStep("preparing");
  const { name: filename, type: content_type, size } = file;
  const declared = { filename, content_type, size, sha256: digest, column: options.column };
  const instructions = await patiently(() => api.prepare(source, declared, signal), options);
  onStep("sending");
  const { upload_parts: parts } = instructions;
  const { sleep = pause } = options;
  const inParts =
    parts !== undefined &&
    (await sendParts(api, { ...instructions, upload_parts: parts }, file, { signal, onProgress, send, sleep }));
  if (!inParts) await send(instructions, file, { signal, onProgress });
  onStep("finishing");
  return complete(api, source, instructions.upload_token, options);
}

/**
 * @param {FilesApi} api @param {string} source @param {string} token @param {UploadOptions} options
 * @returns {Promise<FileRecord | null>} Null: the earlier try is lost, so start again.
 */
async function finishEarlier(api, source, token, options) {
  try {
    return await complete(api, source, token, options);
  } catch (error) {
    const gone = ["conflict", "expired", "not_found"];
    if (error instanceof ApiError && gone.includes(error.code)) return null;
    throw error;
  }
}

/**
 * @param {FilesApi} api @param {string} source @param {string} token @param {UploadOptions} options
 */
async function complete(api, source, token, options) {
  try {
    return (await patiently(() => api.complete(source, token, options.signal), options)).file;
  } catch (error) {
    throw error instanceof ApiError ? new NotCompleted(error, token) : error;
  }
}

/**
 * Repeat a request that failed for a passing reason, such as a restart of the server.
 * @template Answer
 * @param {() => Promise<Answer>} ask @param {UploadOptions} options
 * @returns {Promise<Answer>}
 */
async function patiently(ask, { signal, sleep = pause }) {
  for (const milliseconds of PAUSES) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ApiError && PASSING.has(error.code))) throw error;
    }
    await sleep(milliseconds, signal);
  }
  return ask();
}

/**
 * @param {number} milliseconds @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function pause(milliseconds, signal) {
  return orAborted(new Promise((resolve) => setTimeout(resolve, milliseconds)), signal);
}

/**
 * Send the bytes as prepare's answer says. XMLHttpRequest reports the progress of a body; fetch does
 * not. Cookies are sent to this site alone.
 * @param {Instructions} instructions
 * @param {Blob} file
 * @param {{signal?: AbortSignal, onProgress: (bytes: number) => void}} options
 * @returns {Promise<void>}
 */
export function sendBytes(instructions, file, { signal, onProgress }) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const request = new XMLHttpRequest();
    const url = new URL(instructions.upload_url, location.href);
    const body = bodyOf(instructions, file);
    request.open(instructions.upload_method, url);
    if (url.origin === location.origin) request.setRequestHeader("Accept", "application/json");
    for (const [name, value] of Object.entries(instructions.upload_headers)) {
      if (!OWN_HEADERS.has(name.toLowerCase())) request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => {
      // The form around the file counts too; most of it is sent before the file.
      const around = Math.max(0, event.total - file.size);
      onProgress(Math.min(file.size, Math.max(0, event.loaded - around)));
    };
    request.onload = () => {
      if (led(request, url)) reject(ApiError.signedOut());
      else if (request.status >= 200 && request.status < 300) resolve();
      else reject(refusal(request, url));
    };
    // Browsers do not tell the reason: the file is gone, or the server cannot be reached.
    request.onerror = () =>
      bytesOf(file.slice(0, 1)).then(() => reject(unanswered(url)), reject);
    request.onabort = () => reject(signal?.reason);
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}

/**
 * @param {Instructions} instructions @param {Blob} file
 * @returns {FormData | Blob}
 */
function bodyOf(instructions, file) {
  if (instructions.upload_method.toUpperCase() === "PUT") {
    // A slice has no type, so the browser adds no Content-Type that the storage did not ask for.
    return file.slice(0, file.size);
  }
  const form = new FormData();
  for (const [name, value] of Object.entries(instructions.upload_fields)) form.append(name, value);
  form.append("file", file, file instanceof File ? file.name : "file");
  return form;
}

/**
 * Whether this site redirected the request. A storage may, as S3 does to another region.
 * @param {XMLHttpRequest} request @param {URL} url
 */
function led(request, url) {
  return url.origin === location.origin && request.responseURL !== url.href;
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

/** @param {XMLHttpRequest} request @param {URL} url */
function refusal({ status, responseText }, url) {
  if (url.origin === location.origin) return ApiError.of(status, responseText);
  return storeError(status, responseText);
}

/**
 * The error that a storage's XML answer means, by its code: its sentences are for programmers.
 * @param {number} status @param {string} text
 */
export function storeError(status, text) {
  const name = /<Code>([\w.-]{1,100})<\/Code>/.exec(text)?.[1] ?? "";
  if (name === "AccessDenied" && /policy expired|request has expired/i.test(text)) {
    return new ApiError("expired", "", status);
  }
  if (Object.hasOwn(STORE_ERRORS, name)) return new ApiError(...STORE_ERRORS[name], status);
  // A proxy in front of the storage answers with a status alone.
  const { code } = ApiError.of(status, "");
  const message = `The storage answered ${status} ${name}`.trim() + ".";
  return new ApiError(PASSING.has(code) ? code : "storage_error", message, status);
}
