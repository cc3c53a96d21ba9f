/**
 * What a source takes, checked before anything is sent: a courtesy, as the server checks it too.
 * Pure.
 */

import { formatBytes, formatCount } from "./format.js";
import { ApiError } from "./api.js";

export class UploadRules {
  /**
   * @param {number | null} maxSize In bytes.
   * @param {string} accept Content types and patterns (`image/*`), with commas; "" takes any.
   */
  constructor(maxSize, accept) {
    this.maxSize = maxSize;
    this._patterns = accept.split(",").map((pattern) => pattern.trim().toLowerCase());
    this._patterns = this._patterns.filter((pattern) => pattern !== "");
  }

  /**
   * @param {File} file
   * @returns {ApiError | null} What the server would answer.
   */
  problem(file) {
    if (this.maxSize !== null && file.size > this.maxSize) {
      return new ApiError("too_large", tooLarge(file.size, this.maxSize), 413);
    }
    if (!this.accepts(file.type)) {
      const message = `This is ${file.type}; accepted: ${this._patterns.join(", ")}.`;
      return new ApiError("bad_type", message, 415);
    }
    return null;
  }

  /**
   * What no browser could name is left to the server, which looks at the bytes.
   * @param {string} type Perhaps with parameters, as in `text/plain;charset=utf-8`.
   */
  accepts(type) {
    const essence = type.split(";")[0].trim().toLowerCase();
    if (["", "application/octet-stream"].includes(essence)) return true;
    if (this._patterns.length === 0) return true;
    return this._patterns.some((pattern) =>
      pattern.endsWith("/*") ? essence.startsWith(pattern.slice(0, -1)) : essence === pattern,
    );
  }
}

/** Rounded, unless both would be the same then. @param {number} size @param {number} most */
function tooLarge(size, most) {
  const alike = formatBytes(size) === formatBytes(most);
  const [has, fits] = [size, most].map(alike ? (bytes) => `${formatCount(bytes)} bytes` : formatBytes);
  return `The file has ${has}, and at most ${fits} fit here.`;
}
