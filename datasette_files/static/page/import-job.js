/**
 * The page of a running import: fetches and shows the progress, and reloads the page at the end.
 * Without this module the page reloads every few seconds.
 */

import { setText } from "../shared/dom.js";
import { formatBytes, formatCount, formatDuration } from "../shared/format.js";
import { ApiError, requestJson } from "../shared/request.js";

/** Milliseconds between two requests. */
const STEP = 700;
/** Codes that end the waiting: signed out, no longer permitted, or the file is deleted. */
const GONE = ["permission_denied", "not_found", "expired"];
/** Most milliseconds between two requests while the server does not answer. */
const LONGEST = 15000;

class Job {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.url = root.dataset.filesJob ?? "";
    this.pause = STEP;
    this.said = "";
  }

  async watch() {
    for (;;) {
      const job = await this.ask();
      if (job && !["pending", "running"].includes(job.status)) return location.reload();
      if (job) this.show(job);
      await new Promise((resolve) => setTimeout(resolve, this.pause));
    }
  }

  /** @returns {Promise<any>} The job, or null while the server does not answer. */
  async ask() {
    try {
      const job = await requestJson(this.url);
      this.pause = STEP;
      return job;
    } catch (error) {
      if (GONE.includes(ApiError.from(error).code)) {
        location.reload(); // the reloaded page says why, and what to do
        return new Promise(() => {});
      }
      this.pause = Math.min(this.pause * 2, LONGEST);
      this.put("left", "The server does not answer; trying again");
      return null;
    }
  }

  /** @param {any} job */
  show(job) {
    const progress = this.root.querySelector("progress");
    if (progress) progress.value = job.progress;
    const phase = job.status === "running" && job.phase ? `: ${job.phase}` : "";
    this.put("status", `${job.status}${phase}`);
    const speed = job.rows_per_second ? ` (${formatCount(job.rows_per_second)} a second)` : "";
    this.put("rows", `${formatCount(job.row_count)}${speed}`);
    this.put("bytes", `${formatBytes(job.bytes_read)} of ${formatBytes(job.total_size)}`);
    const left = job.seconds_left === null ? "not known yet" : `about ${formatDuration(job.seconds_left)}`;
    this.put("left", left);
    this.say(`${job.status}${phase}`);
  }

  /** @param {string} name @param {string} text */
  put(name, text) {
    const place = this.root.querySelector(`[data-files-show="${name}"]`);
    if (place) setText(place, text);
  }

  /** Tell screen readers each state once. @param {string} text */
  say(text) {
    const place = this.root.querySelector("[data-files-said]");
    if (place && text !== this.said) place.textContent = this.said = text;
  }
}

const root = /** @type {HTMLElement | null} */ (document.querySelector("[data-files-job]"));
if (root) new Job(root).watch();
