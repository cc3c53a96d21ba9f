/**
 * What to tell a person of each error: a title, what to do next, and whether trying again may help.
 * Knows the codes of docs/api.md (a test compares) and those that only a browser can see.
 */

/**
 * @typedef {object} Message
 * @property {string} title What happened, in a few words.
 * @property {string} next What to do about it.
 * @property {boolean} retry Whether the same again may succeed.
 */

/** By code: title, next, retry. @type {Record<string, [string, string, boolean]>} */
const TABLE = {
  invalid: ["Not accepted", "Rename the file if its name is unusual, and add it again.", false],
  permission_denied: [
    "Not allowed",
    "Sign in again in another tab, then retry; or ask the administrator for permission.",
    true,
  ],
  not_found: ["No longer there", "Try again; if it fails once more, reload the page.", true],
  not_supported: ["Not possible here", "This place takes no uploads. Choose another one.", false],
  timeout: ["Took too long", "Try again when the connection is better.", true],
  conflict: ["Interrupted", "Try again.", true],
  expired: ["Waited too long", "Try again: the upload starts afresh.", true],
  too_large: ["Too large", "Make the file smaller, or ask the administrator to raise the limit.", false],
  bad_type: ["Type not accepted", "Convert the file to a type that is accepted here.", false],
  range: ["Part not available", "Reload the page.", true],
  checksum_mismatch: [
    "Damaged on the way",
    "Try again. If the file is being written to, wait until that is finished.",
    true,
  ],
  storage_error: ["Storage failed", "Try again; if it fails once more, tell the administrator.", true],
  storage_unavailable: ["Storage unavailable", "It cannot be reached now. Try again in a moment.", true],
  no_space: ["No space left", "Ask the administrator to make room, then try again.", true],

  // Seen by the browser alone.
  network: [
    "Connection lost",
    "Check your connection and try again; if it fails once more, tell the administrator.",
    true,
  ],
  busy: ["Too many requests", "Wait a minute, then try again.", true],
  unexpected: ["Something went wrong", "Try again; if it fails once more, tell the administrator.", true],
  unreadable: [
    "Cannot be read",
    "It may have been moved or changed, or be open elsewhere. Add it again.",
    true,
  ],
};

/** @type {Record<string, Message>} */
export const MESSAGES = Object.fromEntries(
  Object.entries(TABLE).map(([code, [title, next, retry]]) => [code, { title, next, retry }]),
);

/**
 * @param {string} code
 * @returns {Message} For a code that only a later server knows, the message that fits any error.
 */
export function messageFor(code) {
  return Object.hasOwn(MESSAGES, code) ? MESSAGES[code] : MESSAGES.unexpected;
}

/**
 * What happened and what to do, in sentences.
 * @param {unknown} error An ApiError; anything else is `unexpected`.
 */
export function explained(error) {
  const { title, next } = messageFor(/** @type {{code?: string}} */ (error).code ?? "");
  return `${title}. ${next}`;
}
