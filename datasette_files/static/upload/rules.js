/**
 * The rules of a source or column, checked before bytes are sent: a courtesy, because the server checks
 * them again. Pure.
 */

import { formatBytes, formatCount } from "../shared/format.js";
import { ApiError } from "../shared/request.js";

/** @param {string} accept @returns {string[]} Its patterns, in lower case. */
export function patternsOf(accept) {
  const patterns = accept.split(",").map((pattern) => pattern.trim().toLowerCase());
  return patterns.filter((pattern) => pattern !== "");
}

export class UploadRules {
  /**
   * @param {number | null} maxSize In bytes.
   * @param {string} accept As in HTML: content types, patterns (`image/*`) and extensions (`.pdf`),
   *   separated by commas; "" accepts any file.
   */
  constructor(maxSize, accept) {
    this.maxSize = maxSize;
    this._patterns = patternsOf(accept);
  }

  /**
   * @param {File} file
   * @returns {ApiError | null} The error that the server would answer.
   */
  problem(file) {
    if (this.maxSize !== null && file.size > this.maxSize) {
      return new ApiError("too_large", tooLarge(file.size, this.maxSize), 413);
    }
    if (!this.accepts(file.type, file.name)) {
      return new ApiError("bad_type", this._otherType(file.type), 415);
    }
    return null;
  }

  /**
   * Why a stored file cannot be chosen, or "". Its bytes are not examined again, so an unknown type
   * matches no pattern.
   * @param {{filename: string, size: number | null, content_type: string | null}} record
   */
  refusal({ filename, size, content_type }) {
    if (this.maxSize !== null && size !== null && size > this.maxSize) {
      return tooLarge(size, this.maxSize);
    }
    const type = essenceOf(content_type ?? "");
    return this._matches(type, filename) ? "" : this._otherType(type);
  }

  /**
   * Whether a type may be sent. The server decides about unknown types, as it looks at the bytes.
   * @param {string} type Perhaps with parameters, as in `text/plain;charset=utf-8`.
   * @param {string} [name] Of the file.
   */
  accepts(type, name = "") {
    const essence = essenceOf(type);
    const unknown = ["", "application/octet-stream"].includes(essence);
    if (unknown && this._patterns.some((pattern) => !pattern.startsWith("."))) return true;
    return this._matches(essence, name);
  }

  /** @param {string} essence A type without parameters. @param {string} name */
  _matches(essence, name) {
    if (this._patterns.length === 0) return true;
    return this._patterns.some((pattern) => {
      if (pattern === "*/*") return true;
      if (pattern.startsWith(".")) return name.toLowerCase().endsWith(pattern);
      return pattern.endsWith("/*")
        ? essence.startsWith(pattern.slice(0, -1))
        : essence === pattern;
    });
  }

  /** @param {string} type */
  _otherType(type) {
    return `This is ${type || "of an unknown type"}; accepted: ${this._patterns.join(", ")}.`;
  }
}

/** @param {string} type @returns {string} Without parameters. */
function essenceOf(type) {
  return type.split(";")[0].trim().toLowerCase();
}

/** Rounded, unless both would then look the same. @param {number} size @param {number} most */
function tooLarge(size, most) {
  const alike = formatBytes(size) === formatBytes(most);
  const [has, fits] = [size, most].map(alike ? (bytes) => `${formatCount(bytes)} bytes` : formatBytes);
  return `The file has ${has}; at most ${fits} fit here.`;
}
