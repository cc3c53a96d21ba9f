/**
 * The page of a running import: fetches and shows the progress, and reloads the page at the end.
 * Without this module the page reloads every few seconds.
 */

import { formatBytes, formatCount, formatDuration } from "../shared/format.js";
import { JobPage, watchJob } from "./job-page.js";

class ImportPage extends JobPage {
  /** @param {any} job */
  show(job) {
    const phase = job.status === "running" && job.phase ? `: ${job.phase}` : "";
    this.put("status", `${job.status}${phase}`);
    const speed = job.rows_per_second ? ` (${formatCount(job.rows_per_second)} a second)` : "";
    this.put("rows", `${formatCount(job.row_count)}${speed}`);
    this.put("bytes", `${formatBytes(job.bytes_read)} of ${formatBytes(job.total_size)}`);
    const left = job.seconds_left === null ? "not known yet" : `about ${formatDuration(job.seconds_left)}`;
    this.put("left", left);
    this.say(`${job.status}${phase}`);
  }
}

watchJob(ImportPage);
