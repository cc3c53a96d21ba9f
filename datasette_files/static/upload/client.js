/**
 * The upload of one file: checksum, prepare, send, complete; of a small one in one request (whole.js).
 * Leaves out waiting in line (queue.js) and anything of a page.
 *
 * The answer of prepare says where and how the bytes are sent, so this module knows no storage.
 */

import { ApiError } from "../shared/request.js";
import { PASSING, pause, patiently, sendAgain } from "./again.js";
import { sha256 } from "./checksum.js";
import { exchangeFile } from "./exchange.js";
import { KeptUploads } from "./kept.js";
import { sendParts } from "./parts.js";
import { RESUMABLE_FROM, continueKept, sendResumable } from "./resumable.js";
import { sendWhole, wholeUpload } from "./whole.js";

/** @import { ColumnPlace, Completed, FilesApi, FileRecord, Instructions } from "../api.js" */
/** @import { Answer } from "./exchange.js" */
/** @import { ResumableOptions } from "./resumable.js" */
/** @typedef {"checking" | "preparing" | "sending" | "interrupted" | "finishing"} Step */

/**
 * @typedef {object} UploadOptions
 * @property {AbortSignal} [signal]
 * @property {(step: Step, why?: ApiError) => void} [onStep] `why` of an interruption, after which it goes on.
 * @property {(bytes: number) => void} [onProgress] Bytes of the file that have been sent.
 * @property {(bytes: number) => void} [onOffset] Bytes that the server has from earlier, before it goes on.
 * @property {(address: string | null) => void} [onAddress] The upload can be paused, until null is told.
 * @property {string} [token] The upload token of an earlier try whose bytes have all arrived.
 * @property {string | null} [address] The address of an earlier try that was paused or failed.
 * @property {KeptUploads} [kept] The uploads that are on their way.
 * @property {string} [folder] The catalog's folder that the file goes to.
 * @property {ColumnPlace} [column] The file column that the file is for; prepare applies its rules.
 * @property {string} [replaces] The id of the file whose next version it is.
 * @property {typeof sendBytes} [send] For tests.
 * @property {(milliseconds: number, signal?: AbortSignal) => Promise<void>} [sleep] For tests.
 * @property {ResumableOptions["exchange"]} [exchange] For tests.
 * @property {ResumableOptions["network"]} [network] For tests.
 */

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

/** A file that came by an upload link, of which its sender is told nothing. @type {FileRecord} */
const UNTOLD = {
  id: "",
  filename: "",
  content_type: null,
  size: null,
  source_slug: "",
  created_at: "",
  url: "",
  download_url: "",
  thumbnail_url: "",
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
  const { onStep = () => {} } = options;
  if (options.token !== undefined) {
    onStep("finishing");
    const record = await finishEarlier(api, source, options.token, options);
    if (record !== null) return record;
  }
  onStep("checking");
  const kept = await goOn(api, source, file, options);
  const whole = kept === null ? wholeUpload(api, source, file, options) : null;
  const told = whole === null ? null : await sendWhole(api, whole, file, options);
  if (told !== null) return recordOf(told);
  if (whole !== null) api.takesWhole = false;
  const token = kept ?? (await sendNew(api, source, file, options));
  onStep("finishing");
  return complete(api, source, token, options);
}

/**
 * Prepare an upload, and send the bytes in the way that the answer offers.
 * @param {FilesApi} api @param {string} source @param {File} file @param {UploadOptions} options
 * @returns {Promise<string>} The token with which it is completed.
 */
async function sendNew(api, source, file, options) {
  const { signal, onStep = () => {}, onProgress = () => {}, send = sendBytes, sleep = pause } = options;
  // An empty folder is not declared: a link takes none.
  const folder = options.folder || undefined;
  const digest = await sha256(file, signal);
  onStep("preparing");
  const { name: filename, type: content_type, size } = file;
  const { column, replaces } = options;
  const declared = { filename, content_type, size, sha256: digest, column, folder, replaces };
  const instructions = await patiently(() => api.prepare(source, declared, signal), options);
  if (instructions.upload_fields?.upload_token !== undefined) api.receives.add(source);
  onStep("sending");
  const { upload_token, upload_parts: parts, upload_resumable_url: url } = instructions;
  if (url !== undefined && size > RESUMABLE_FROM) {
    const token = await sendResumable(url, instructions, file, digest, resumable(options));
    if (token !== null) return token;
  }
  const inParts =
    parts !== undefined &&
    (await sendParts(api, { ...instructions, upload_parts: parts }, file, { signal, onProgress, send, sleep }));
  const sendOnce = () => send(instructions, file, { signal, onProgress });
  if (!inParts && !(await sendAgain(sendOnce, instructions.upload_url ?? "", options))) {
    return sendNew(api, source, file, options);
  }
  return upload_token;
}

/**
 * Go on with an upload of the file that was interrupted.
 * @param {FilesApi} api @param {string} source @param {File} file @param {UploadOptions} options
 * @returns {Promise<string | null>} The token with which it is completed; null if there is none.
 */
async function goOn(api, source, file, options) {
  if (file.size <= RESUMABLE_FROM) return null;
  return continueKept(api.resumableUploads(source), file, resumable(options));
}

/** @param {UploadOptions} options @returns {ResumableOptions} */
function resumable(options) {
  const { onStep = () => {}, onProgress = () => {}, onOffset = onProgress } = options;
  const { onAddress = () => {}, kept = new KeptUploads() } = options;
  return {
    ...{ ...options, kept, onProgress, onAddress },
    onOffset: (bytes) => {
      onStep("sending");
      onOffset(bytes);
    },
    onInterrupted: (why) => onStep("interrupted", why),
  };
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
    return recordOf(await patiently(() => api.complete(source, token, options.signal), options));
  } catch (error) {
    throw error instanceof ApiError ? new NotCompleted(error, token) : error;
  }
}

/** @param {Completed} told @returns {FileRecord} */
function recordOf({ file = UNTOLD, duplicate_of }) {
  return duplicate_of === undefined ? file : { ...file, duplicate_of };
}

/**
 * Send the bytes as prepare's answer says.
 * @param {Instructions} instructions
 * @param {Blob} file
 * @param {{signal?: AbortSignal, onProgress: (bytes: number) => void}} options
 * @returns {Promise<void>}
 */
export async function sendBytes(instructions, file, { signal, onProgress }) {
  const { upload_method: method, upload_url: url, upload_headers: headers } = instructions;
  const onSent = (/** @type {number} */ sent, /** @type {number} */ total) => {
    // The form around the file counts too; most of it is sent before the file.
    const around = Math.max(0, total - file.size);
    onProgress(Math.min(file.size, Math.max(0, sent - around)));
  };
  const asked = { method, url, headers, body: bodyOf(instructions, file), signal, onSent };
  const answer = await exchangeFile(asked, file);
  if (answer.status < 200 || answer.status >= 300) throw refusal(answer, new URL(url, location.href));
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

/** @param {Answer} answer @param {URL} url */
function refusal({ status, text }, url) {
  return url.origin === location.origin ? ApiError.of(status, text) : storeError(status, text);
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
