/** The page of a running job: asks for its progress, and reloads the page at the end. A kind shows it. */

import { setText } from "../shared/dom.js";
import { ApiError, requestJson } from "../shared/request.js";

/** Milliseconds between two requests. */
const STEP = 700;
/** Codes that end the waiting: signed out, no longer permitted, or the job is gone. */
const GONE = ["permission_denied", "not_found", "expired"];
/** Most milliseconds between two requests while the server does not answer. */
const LONGEST = 15000;

export class JobPage {
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
      if (job) {
        const progress = this.root.querySelector("progress");
        if (progress) progress.value = job.progress;
        this.show(job);
      }
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

  /** Write what is known of a job. @param {any} _job */
  show(_job) {}

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

/** Watch the job of this page, if it still runs. @param {typeof JobPage} kind */
export function watchJob(kind) {
  const root = /** @type {HTMLElement | null} */ (document.querySelector("[data-files-job]"));
  if (root) new kind(root).watch();
}
