/**
 * What is known of uploads that are done and that a long list holds no more. Pure.
 */

/** @import { FileRecord } from "../api.js" */

export class Past {
  constructor() {
    this.done = 0;
    /** Their bytes, and those of the batch that is being uploaded. */
    this.bytes = 0;
    this.bytesOfBatch = 0;
    /** Of their records. @type {string[]} */
    this.ids = [];
  }

  /** @param {{file: File, record: FileRecord | null}} item @param {boolean} isOfBatch */
  add({ file: { size }, record }, isOfBatch) {
    this.done += 1;
    this.bytes += size;
    if (isOfBatch) this.bytesOfBatch += size;
    if (record?.id) this.ids.push(record.id);
  }
}
