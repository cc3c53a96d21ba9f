/**
 * The page of a running bulk action: shows how many files are done, and reloads the page at the end.
 * Without this module the page reloads every few seconds.
 */

import { counted, formatCount } from "../shared/format.js";
import { JobPage, watchJob } from "./job-page.js";

class BulkPage extends JobPage {
  /** @param {any} job */
  show(job) {
    this.put("left", job.phase === "selecting" ? "Finding the files" : "");
    const refused = job.refused_count ? `, ${formatCount(job.refused_count)} refused` : "";
    this.put("done", `${formatCount(job.done)} of ${counted(job.total, "file")} done${refused}`);
    // Each tenth is news enough for a screen reader.
    this.say(`${Math.floor(job.progress * 10) * 10} % done`);
  }
}

watchJob(BulkPage);
