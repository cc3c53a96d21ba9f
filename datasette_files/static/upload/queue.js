/**
 * The queue of uploads: a few run at once, the rest wait; each can be cancelled, retried, removed.
 * Leaves out how one file is sent (client.js, passed in as a function) and anything of a page.
 */

import { messageFor } from "../shared/messages.js";
import { ApiError } from "../shared/request.js";
import { NotCompleted } from "./client.js";
import { Past } from "./past.js";
import { TransferRate, secondsLeft } from "./rate.js";
import { PAUSED } from "./resumable.js";

/** @import { FileRecord } from "../api.js" */
/** @import { UploadOptions } from "./client.js" */
/** @import { Step } from "./client.js" */
/** @typedef {"queued" | Step | "paused" | "done" | "failed" | "cancelled"} State */
/** @typedef {"queued" | "done" | "failed" | "cancelled"} Settled */
/** @typedef {{file: File, path?: string, source?: string, folder?: string, replaces?: string,
 *   problem?: ApiError | null}} Addition */

/**
 * How much a queue holds, so that a folder of hundreds of thousands of files does not fill the browser's
 * memory: files that wait and files that failed, above which no more are taken in, and the latest that are
 * done, of which the latest are `whole`: a `File` takes the browser some 10 KB.
 */
const LIMITS = { waiting: 2000, failed: 5000, done: 5000, whole: 1000 };
const WORKING = new Set(["checking", "preparing", "sending", "interrupted", "finishing"]);
const UNFINISHED = new Set(["queued", "paused", ...WORKING]);

/** One file of a queue. Only the queue writes to it. */
export class UploadItem {
  /** @param {number} number @param {Addition} addition @param {number} batch */
  constructor(number, { file, path = "", source = "", folder = "", replaces, problem = null }, batch) {
    this.number = number;
    /** Of a file that is done perhaps without its bytes. @type {Pick<File, "name" | "size" | "type">} */
    this.file = file;
    /** Path of its folder, from the folder that was added, with a slash at the end. */
    this.path = path;
    /** Slug of the source that it goes to. */
    this.source = source;
    /** The catalog's folder that it goes to. */
    this.folder = folder;
    /** The id of the file whose next version it is. */
    this.replaces = replaces;
    this.batch = batch;
    /** @type {State} */
    this.state = problem === null ? "queued" : "failed";
    this.sent = 0;
    this.error = problem;
    /** @type {FileRecord | null} */
    this.record = null;
    this.rate = new TransferRate();
    /** @type {AbortController | null} */
    this.controller = null;
    /** Refused before anything was sent, so that a retry cannot help. */
    this.refused = problem !== null;
    /** Of an upload that can go on later. @type {string | null} */
    this.address = null;
  }

  get working() {
    return WORKING.has(this.state);
  }

  /** A file that is being completed cannot be cancelled: it may be stored already. */
  get cancellable() {
    return UNFINISHED.has(this.state) && this.state !== "finishing";
  }

  get pausable() {
    return this.address !== null && (this.state === "sending" || this.state === "interrupted");
  }

  get retryable() {
    if (this.state === "cancelled") return true;
    return this.state === "failed" && !this.refused && messageFor(this.error?.code ?? "").retry;
  }
}

/** An event of the queue; about one item if `item` is not null. */
export class QueueEvent extends Event {
  /** @param {string} type @param {UploadItem | null} item */
  constructor(type, item) {
    super(type);
    this.item = item;
  }
}

/**
 * Events: `change` after any change; `uploaded` and `failed` with their `item`; `finished` when no work
 * is left; `cleared` by `clear`.
 */
export class UploadQueue extends EventTarget {
  /**
   * @param {(item: UploadItem, options: UploadOptions) => Promise<FileRecord>} upload
   * @param {{atOnce?: number, now?: () => number, drop?: (address: string) => void,
   *   limits?: typeof LIMITS}} [options] `drop` gives up an upload that could have gone on.
   */
  constructor(
    upload,
    { atOnce = 4, now = () => performance.now(), drop = () => {}, limits = LIMITS } = {},
  ) {
    super();
    this._upload = upload;
    this._dropUpload = drop;
    this._atOnce = atOnce;
    this._limits = limits;
    this._now = now;
    this._rate = new TransferRate();
    this._working = 0;
    this._numbers = 0;
    this._batch = 0;
    /** In the order in which they were added. @type {Set<UploadItem>} */
    this.items = new Set();
    /** @type {Set<UploadItem>} */
    this._waiting = new Set();
    /** @type {Set<UploadItem>} */
    this._failed = new Set();
    /** @type {Set<UploadItem>} */
    this._paused = new Set();
    /** In the order in which they ended. @type {Set<UploadItem>} */
    this._done = new Set();
    /** Those of them that have their bytes. @type {Set<UploadItem>} */
    this._whole = new Set();
    /** Those that are done and that the list holds no more. */
    this.past = new Past();
    /** How many files of the list were refused before anything was sent. */
    this._refused = 0;
    /** Whether more files are still to be added. */
    this.expecting = false;
  }

  /** How many files have failed. */
  get failed() {
    return this._failed.size;
  }

  /** Whether any file is being uploaded, waits, or is paused. */
  get busy() {
    return this.moving || this._paused.size > 0;
  }

  /** Whether any file is being uploaded or waits. */
  get moving() {
    return this._working > 0 || this._waiting.size > 0;
  }

  /** @param {boolean} more Whether files are still to be added. */
  expect(more) {
    if (more) this._beginBatch();
    this.expecting = more;
    this._tell("change");
  }

  /** Whether so many files have failed on their way that no more are taken in. */
  get tooManyFailed() {
    return this._failed.size - this._refused >= this._limits.failed;
  }

  /** Wait until more files can be taken in. */
  async room() {
    const full = () => this._waiting.size >= this._limits.waiting || this.tooManyFailed;
    if (!full()) return;
    await new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
      const look = () => {
        if (full()) return;
        this.removeEventListener("change", look);
        resolve();
      };
      this.addEventListener("change", look);
    });
  }

  /**
   * @param {Iterable<Addition>} additions A file with a problem fails at once.
   * @returns {UploadItem[]}
   */
  add(additions) {
    this._beginBatch();
    const added = [];
    for (const addition of additions) {
      const item = new UploadItem(this._numbers++, addition, this._batch);
      this.items.add(item);
      added.push(item);
      if (item.state === "queued") this._waiting.add(item);
      else {
        this._failed.add(item);
        this._refused += 1;
      }
    }
    for (const item of added) if (item.state === "failed") this._tell("failed", item);
    this._advance();
    if (added.length > 0 && !this.busy) this._tell("finished");
    return added;
  }

  /** @param {UploadItem} item */
  cancel(item) {
    if (!item.cancellable) return;
    if (this._waiting.delete(item) || this._paused.delete(item)) {
      item.state = "cancelled";
      this._giveUp(item);
      this._tell("change");
      if (!this.busy) this._tell("finished");
    } else item.controller?.abort();
  }

  cancelAll() {
    // Waiting files first: each upload that ends would start the next one.
    for (const item of [...this._waiting, ...this.items]) this.cancel(item);
    this._tell("change");
  }

  /** Stop sending a file, so that it can go on where it is. @param {UploadItem} item */
  pause(item) {
    if (item.pausable) item.controller?.abort(PAUSED);
  }

  /** Go on with a paused file, before those that wait. @param {UploadItem} item */
  resume(item) {
    if (!this._paused.delete(item)) return;
    item.state = "queued";
    this._waiting = new Set([item, ...this._waiting]);
    this._advance();
  }

  /** @param {UploadItem} item */
  retry(item) {
    if (!item.retryable) return;
    this._beginBatch();
    item.batch = this._batch;
    item.state = "queued";
    item.sent = 0;
    item.rate = new TransferRate();
    this._failed.delete(item);
    this._waiting.add(item);
    this._advance();
  }

  /** @param {string} [code] Only those that failed with this code. */
  retryFailed(code) {
    for (const item of this.items) {
      if (item.state === "failed" && (code === undefined || item.error?.code === code)) this.retry(item);
    }
  }

  /** Take a file off the list; cancel it first if necessary. @param {UploadItem} item */
  remove(item) {
    this.cancel(item);
    if (item.state === "finishing") return;
    this._giveUp(item);
    this._drop(item);
    this._tell("change");
  }

  /** Take all finished, failed and cancelled files off the list. */
  clear() {
    for (const item of this.items) if (!UNFINISHED.has(item.state)) this._drop(item);
    this.past = new Past();
    this._tell("cleared");
    this._tell("change");
  }

  /** What was sent of it is not needed any more. @param {UploadItem} item */
  _giveUp(item) {
    // An upload that runs is dropped by the one who sends it, once it has stopped.
    if (item.address !== null && !item.working) this._dropUpload(item.address);
    if (!item.working) item.address = null;
  }

  /** @param {UploadItem} item */
  _drop(item) {
    if (this.items.delete(item) && item.refused) this._refused -= 1;
    this._failed.delete(item);
    this._done.delete(item);
    this._whole.delete(item);
  }

  /** @param {UploadItem} item It is done. */
  _keep(item) {
    if (!this.items.has(item)) return;
    this._done.add(item);
    this._whole.add(item);
    if (this._whole.size > this._limits.whole) {
      const [earliest] = this._whole;
      const { name, size } = earliest.file;
      earliest.file = { name, size, type: "" };
      this._whole.delete(earliest);
    }
    if (this._done.size <= this._limits.done) return;
    const [oldest] = this._done;
    this._drop(oldest);
    this.past.add(oldest, oldest.batch === this._batch);
  }

  /**
   * The state of the queue in numbers. While it works, bytes count from the moment when it last was idle;
   * afterwards those of all files of the list.
   */
  summary() {
    const counts = {
      ...{ queued: 0, working: 0, interrupted: 0, paused: 0 },
      ...{ done: 0, failed: 0, cancelled: 0, retryable: 0 },
    };
    counts.done += this.past.done;
    const active = this.busy || this.expecting;
    let sent = active ? this.past.bytesOfBatch : this.past.bytes;
    let total = sent;
    for (const item of this.items) {
      if (item.working) counts.working += 1;
      else counts[/** @type {Settled | "paused"} */ (item.state)] += 1;
      if (item.state === "interrupted") counts.interrupted += 1;
      if (item.state === "failed" && item.retryable) counts.retryable += 1;
      const isPart = !active || item.batch === this._batch;
      if (isPart && (UNFINISHED.has(item.state) || item.state === "done")) {
        sent += item.sent;
        total += item.file.size;
      }
    }
    const speed = this._rate.speed(this._now());
    return { counts, sent, total, speed, left: secondsLeft(total - sent, speed) };
  }

  /** @param {UploadItem} item @returns {{speed: number | null, left: number | null}} */
  pace(item) {
    const speed = item.rate.speed(this._now());
    return { speed, left: secondsLeft(item.file.size - item.sent, speed) };
  }

  _beginBatch() {
    if (this.busy || this.expecting) return;
    this._batch += 1;
    this.past.bytesOfBatch = 0;
    this._rate = new TransferRate();
  }

  _advance() {
    for (const item of this._waiting) {
      if (this._working >= this._atOnce) break;
      this._waiting.delete(item);
      this._run(item);
    }
    this._tell("change");
  }

  /** @param {UploadItem} item */
  async _run(item) {
    this._working += 1;
    item.controller = new AbortController();
    const token = item.error instanceof NotCompleted ? item.error.token : undefined;
    item.error = null;
    item.state = "checking";
    try {
      item.record = await this._upload(item, {
        signal: item.controller.signal,
        token,
        address: item.address,
        onStep: (step, why) => {
          [item.state, item.error] = [step, why ?? null];
          this._tell("change");
        },
        onAddress: (address) => {
          item.address = address;
          this._tell("change");
        },
        onOffset: (bytes) => {
          item.sent = bytes; // not by _progress: they were sent before
          item.rate = new TransferRate();
          this._tell("change");
        },
        onProgress: (bytes) => this._progress(item, bytes),
      });
      item.sent = item.file.size; // not by _progress: these bytes say nothing about the speed
      item.state = "done";
    } catch (error) {
      const { aborted, reason } = item.controller.signal;
      if (aborted && reason === PAUSED) item.state = "paused";
      else if (aborted && !(error instanceof ApiError)) [item.state, item.address] = ["cancelled", null];
      else {
        item.state = "failed";
        item.error = ApiError.from(error);
        if (this.items.has(item)) this._failed.add(item);
      }
    }
    item.controller = null;
    this._working -= 1;
    if (item.state === "paused") this._paused.add(item);
    if (item.state === "done") {
      this._tell("uploaded", item);
      this._keep(item);
    }
    if (item.state === "failed") this._tell("failed", item);
    this._advance();
    if (!this.busy) this._tell("finished");
  }

  /** @param {UploadItem} item @param {number} bytes */
  _progress(item, bytes) {
    const more = Math.max(0, bytes - item.sent);
    item.sent = bytes;
    item.rate.add(more, this._now());
    this._rate.add(more, this._now());
    this._tell("change");
  }

  /** @param {string} type @param {UploadItem | null} [item] */
  _tell(type, item = null) {
    this.dispatchEvent(new QueueEvent(type, item));
  }
}
