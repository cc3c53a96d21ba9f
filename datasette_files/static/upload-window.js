/**
 * Which of very many files are shown: those that want attention or have just changed, in the order
 * in which they were added. Pure.
 */

/** @import { UploadItem } from "./upload-queue.js" */

/** As long as there are no more than these, all are shown. */
const ALL = 60;
/** Of each kind, how many beyond that. */
const FAILED = 30;
const LATEST = 15;
const NEXT = 10;

/**
 * @param {Iterable<UploadItem>} items
 * @returns {{shown: UploadItem[], done: number, failed: number, waiting: number}} And how many of
 *   each kind are not shown; one that was cancelled counts as done with.
 */
export function windowOf(items) {
  const all = [...items];
  const hidden = { done: 0, failed: 0, waiting: 0 };
  if (all.length <= ALL) return { shown: all, ...hidden };

  const failed = all.filter((item) => item.state === "failed");
  const over = all.filter((item) => item.state === "done" || item.state === "cancelled");
  const waiting = all.filter((item) => item.state === "queued");
  const shown = [
    ...all.filter((item) => item.working),
    ...failed.slice(0, FAILED),
    ...over.slice(-LATEST),
    ...waiting.slice(0, NEXT),
  ];
  shown.sort((one, other) => one.number - other.number);
  hidden.failed = Math.max(0, failed.length - FAILED);
  hidden.done = Math.max(0, over.length - LATEST);
  hidden.waiting = Math.max(0, waiting.length - NEXT);
  return { shown, ...hidden };
}
