/**
 * The uploads that are on their way, kept in IndexedDB, so that the same file goes on after a reload, a
 * crash or a week. Leaves out the protocol (tus.js).
 *
 * A lock of the browser's marks an upload that a page is sending; it ends with the page, also in a crash.
 */

import { bytesOf } from "./checksum.js";

const NAME = "datasette-files";
const STORE = "uploads";
/** Milliseconds after which an upload that was not touched is forgotten. */
const OLD = 30 * 24 * 60 * 60 * 1000;
/** Bytes at either end of a file by which it is known again, with name, size and time. */
const END = 1024 * 1024;

/**
 * @typedef {object} Kept
 * @property {string} address Of the upload.
 * @property {string} name
 * @property {number} size In bytes.
 * @property {number} modified Milliseconds since 1970.
 * @property {string} digest sha256 of the first and the last MiB together, in hexadecimal.
 * @property {string} column The column that it is for, as JSON, and the id of the file that it replaces, or "".
 * @property {number} touched When it last began or went on, in milliseconds since 1970.
 */

/** Events: `change` when other uploads are kept, or a page has begun or stopped sending one. */
export class KeptUploads extends EventTarget {
  constructor() {
    super();
    /** @type {Promise<IDBDatabase | null> | null} */
    this._opened = null;
  }

  /**
   * What tells a file from others. Null where nothing can be kept: without TLS, and where the browser
   * keeps nothing. Raises ApiError `unreadable`.
   * @param {File} file @param {string} column
   * @returns {Promise<Omit<Kept, "address" | "touched"> | null>}
   */
  async describe(file, column) {
    if ((await this._database()) === null) return null;
    const ends = new Blob([file.slice(0, END), file.slice(Math.max(END, file.size - END))]);
    const octets = new Uint8Array(await crypto.subtle.digest("SHA-256", await bytesOf(ends)));
    const digest = Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");
    return { name: file.name, size: file.size, modified: file.lastModified, digest, column };
  }

  /**
   * The uploads of a file that were kept, the newest first.
   * @param {Omit<Kept, "address" | "touched">} described
   * @param {string} below The addresses of uploads to the same place begin so.
   */
  async find(described, below) {
    const same = (/** @type {Kept} */ kept) =>
      /** @type {(keyof typeof described)[]} */ (Object.keys(described)).every(
        (name) => kept[name] === described[name],
      );
    return (await this.list(below)).filter(same);
  }

  /** All that are kept of a place, the newest first. @param {string} below */
  async list(below) {
    /** @type {Kept[]} */
    const all = (await this._do("readonly", (store) => store.getAll())) ?? [];
    const old = Date.now() - OLD;
    for (const { address, touched } of all) if (touched < old) await this.forget(address);
    const kept = all.filter(({ address, touched }) => address.startsWith(below) && touched >= old);
    return kept.sort((one, other) => other.touched - one.touched);
  }

  /** @param {Kept} kept */
  async keep(kept) {
    await this._do("readwrite", (store) => store.put(kept));
    this._tell();
  }

  /** @param {string} address */
  async forget(address) {
    await this._do("readwrite", (store) => store.delete(address));
    this._tell();
  }

  /**
   * Mark an upload as one that this page is sending.
   * @param {string} address
   * @returns {Promise<(() => void) | null>} Ends that; null if a page is sending it already.
   */
  hold(address) {
    if (globalThis.navigator?.locks === undefined) return Promise.resolve(() => {});
    return new Promise((resolve, reject) => {
      const held = (/** @type {Lock | null} */ lock) => {
        if (lock === null) return resolve(null);
        const over = new Promise((end) => {
          resolve(() => {
            end(null);
            // The lock is free after the callback's promise, so not yet at this moment.
            setTimeout(() => this._tell());
          });
        });
        this._tell();
        return over;
      };
      navigator.locks.request(lockOf(address), { ifAvailable: true }, held).catch(reject);
    });
  }

  /** The addresses of uploads that some page is sending. @returns {Promise<Set<string>>} */
  async held() {
    const { held = [] } = (await globalThis.navigator?.locks?.query()) ?? {};
    return new Set(held.map(({ name = "" }) => name.replace(lockOf(""), "")));
  }

  _tell() {
    this.dispatchEvent(new Event("change"));
  }

  /** @returns {Promise<IDBDatabase | null>} */
  _database() {
    if (globalThis.crypto?.subtle === undefined || globalThis.indexedDB === undefined) {
      return Promise.resolve(null);
    }
    this._opened ??= new Promise((resolve) => {
      const opening = indexedDB.open(NAME, 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "address" });
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => {
        // As in some private windows. Uploads work as well; they do not go on after a reload.
        console.info("Uploads are not kept by this browser:", opening.error);
        resolve(null);
      };
    });
    return this._opened;
  }

  /**
   * @template Result
   * @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<Result>} act
   * @returns {Promise<Result | null>} Null where nothing is kept.
   */
  async _do(mode, act) {
    const database = await this._database();
    if (database === null) return null;
    return new Promise((resolve) => {
      const transaction = database.transaction(STORE, mode);
      const asked = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onabort = () => {
        console.info("An upload could not be kept:", transaction.error); // such as a full disk
        resolve(null);
      };
    });
  }
}

/** @param {string} address */
function lockOf(address) {
  return `datasette-files ${address}`;
}
