/**
 * Which files of a long list are shown: those that need attention or have just changed, in the order
 * in which they were added. Pure.
 */

/** @import { Settled, UploadItem } from "./queue.js" */

/** Up to this number, all files are shown. */
const ALL = 60;
/** How many of each kind are shown of a longer list. */
const FAILED = 30;
const LATEST = 15;
const NEXT = 10;

/**
 * @param {Iterable<UploadItem>} items
 * @returns {{shown: UploadItem[], hidden: Record<Settled, number>}} `hidden`: how many of each state
 *   are not shown.
 */
export function windowOf(items) {
  const all = [...items];
  const hidden = { queued: 0, done: 0, failed: 0, cancelled: 0 };
  if (all.length <= ALL) return { shown: all, hidden };

  const over = all.filter((item) => item.state === "done" || item.state === "cancelled");
  const wanted = new Set([
    ...all.filter((item) => item.working || item.state === "paused"),
    ...all.filter((item) => item.state === "failed").slice(0, FAILED),
    ...over.slice(-LATEST),
    ...all.filter((item) => item.state === "queued").slice(0, NEXT),
  ]);
  for (const item of all) {
    if (!wanted.has(item)) hidden[/** @type {Settled} */ (item.state)] += 1;
  }
  return { shown: all.filter((item) => wanted.has(item)), hidden };
}
