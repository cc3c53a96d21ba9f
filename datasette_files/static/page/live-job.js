/**
 * The page of a file that is being opened as a table: shows the progress, and reloads the page at the
 * end, which leads to the tables. Without this module the page reloads every few seconds.
 */

import { formatBytes, formatCount } from "../shared/format.js";
import { JobPage, watchJob } from "./job-page.js";

class LivePage extends JobPage {
  /** @param {any} job */
  show(job) {
    const phase = job.status === "running" && job.phase ? `: ${job.phase}` : "";
    this.put("status", `${job.status}${phase}`);
    this.put("rows", formatCount(job.rows));
    this.put("bytes", `${formatBytes(job.bytes_read)} of ${formatBytes(job.total_size)}`);
    this.say(`${job.status}${phase}`);
  }
}

watchJob(LivePage);
