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

/** Whether only some files of so long a list are shown. @param {number} size */
export function isLong(size) {
  return size > ALL;
}

/**
 * One pass over the items that keeps no copy of them: of a list of thousands, which is drawn again and again,
 * copies would fill the page's memory.
 * @param {Set<UploadItem>} items In the order of their numbers.
 * @returns {{shown: UploadItem[], hidden: Record<Settled, number>}} `hidden`: how many of each state
 *   are not shown.
 */
export function windowOf(items) {
  const hidden = { queued: 0, done: 0, failed: 0, cancelled: 0 };
  if (!isLong(items.size)) return { shown: [...items], hidden };

  /** @type {UploadItem[]} */
  const shown = [];
  /** @type {UploadItem[]} */
  const latest = [];
  let [failed, next] = [0, 0];
  for (const item of items) {
    if (item.state === "done" || item.state === "cancelled") {
      latest.push(item);
      if (latest.length > LATEST) hide(hidden, latest.shift());
    } else if (item.state === "failed" ? failed++ < FAILED : item.state !== "queued" || next++ < NEXT) {
      shown.push(item);
    } else hide(hidden, item);
  }
  shown.push(...latest);
  return { shown: shown.sort((one, other) => one.number - other.number), hidden };
}

/** @param {Record<Settled, number>} hidden @param {UploadItem | undefined} item */
function hide(hidden, item) {
  if (item) hidden[/** @type {Settled} */ (item.state)] += 1;
}
