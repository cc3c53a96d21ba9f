/**
 * The files of a drop or a paste; those in folders come with their paths. Leaves out what happens to
 * them.
 */

import { ApiError } from "../shared/request.js";

/** @import { Addition } from "./queue.js" */

/** How many files of a folder are opened at once. */
const BATCH = 100;
/** Files that systems leave in folders, and that nobody wants to upload with one. */
const LITTER = new Set([".ds_store", "thumbs.db", "desktop.ini"]);
const COLLATOR = new Intl.Collator(undefined, { numeric: true });

/**
 * Must be called while the event is dispatched: afterwards the browser no longer has the files.
 * @param {DataTransfer} transfer
 * @returns {AsyncGenerator<Addition[]>} In batches, because a folder may hold many thousands.
 */
export function droppedFiles(transfer) {
  const folders = [];
  const files = [];
  for (const item of transfer.items) {
    if (item.kind !== "file") continue;
    const entry = item.webkitGetAsEntry?.();
    const file = item.getAsFile();
    if (entry?.isDirectory) folders.push(/** @type {FileSystemDirectoryEntry} */ (entry));
    else if (file !== null) files.push({ file });
  }
  return batches(files, folders);
}

/** @param {DataTransfer | null} transfer */
export function holdsFiles(transfer) {
  return transfer !== null && transfer.types.includes("Files");
}

/**
 * The files of an `<input type="file">`, with their paths if a folder was chosen.
 * @param {Iterable<File>} files
 * @returns {Addition[]}
 */
export function chosenFiles(files) {
  const all = Array.from(files, (file) => ({ file, path: folderOf(file.webkitRelativePath ?? "") }));
  return all.filter(({ file, path }) => path === "" || !isLitter(file.name));
}

/**
 * The files, then those in the folders: each batch is read once it is asked for.
 * @param {Addition[]} files @param {FileSystemDirectoryEntry[]} [folders]
 */
export async function* batches(files, folders = []) {
  for (let start = 0; start < files.length; start += BATCH) yield files.slice(start, start + BATCH);
  // A list instead of recursion, so that folders may be nested to any depth.
  const unread = [...folders];
  for (let folder = unread.shift(); folder !== undefined; folder = unread.shift()) {
    const { inside, complete } = await entriesIn(folder);
    if (!complete) yield [unreadable(folder, "The browser could not read all of this folder.")];
    unread.unshift(.../** @type {any[]} */ (inside.filter((entry) => entry.isDirectory)));
    const leaves = inside.filter((entry) => entry.isFile && !isLitter(entry.name));
    for (let start = 0; start < leaves.length; start += BATCH) {
      const batch = /** @type {any[]} */ (leaves.slice(start, start + BATCH));
      yield await Promise.all(batch.map(fileOf));
    }
  }
}

/**
 * @param {FileSystemDirectoryEntry} folder
 * @returns {Promise<{inside: FileSystemEntry[], complete: boolean}>} Its entries sorted by
 *   name, and whether all could be read.
 */
async function entriesIn(folder) {
  const reader = folder.createReader();
  const inside = [];
  for (;;) {
    /** @type {FileSystemEntry[] | null} */
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve(null)));
    inside.push(...(some ?? []));
    if (some?.length) continue;
    inside.sort((one, other) => COLLATOR.compare(one.name, other.name));
    return { inside, complete: some !== null };
  }
}

/**
 * @param {FileSystemFileEntry} entry
 * @returns {Promise<Addition>}
 */
function fileOf(entry) {
  return new Promise((resolve) => {
    entry.file(
      (file) => resolve({ file, path: pathOf(entry) }),
      () => resolve(unreadable(entry, "The browser could not read the file.")),
    );
  });
}

/**
 * An entry of the list for a file or folder that could not be read.
 * @param {FileSystemEntry} entry @param {string} message
 * @returns {Addition}
 */
function unreadable(entry, message) {
  const problem = new ApiError("unreadable", message);
  return { file: new File([], entry.name), path: pathOf(entry), problem };
}

/** @param {string} name Of a file in a folder. */
function isLitter(name) {
  return LITTER.has(name.toLowerCase());
}

/** @param {FileSystemEntry} entry */
function pathOf(entry) {
  return folderOf(entry.fullPath.replace(/^\//, ""));
}

/** @param {string} path @returns {string} The part before the name. */
function folderOf(path) {
  return path.slice(0, path.lastIndexOf("/") + 1);
}
