/**
 * What to tell a person of each error: a title, what to do next, and whether trying again may
 * help. Knows the codes of docs/api.md (a test compares) and those that only a browser can see.
 */

/**
 * @typedef {object} Message
 * @property {string} title What happened, in a few words.
 * @property {string} next What to do about it.
 * @property {boolean} retry Whether the same again may succeed.
 */

/** @type {Record<string, Message>} */
export const MESSAGES = {
  invalid: {
    title: "Not accepted",
    next: "Rename the file if its name is unusual, and add it again.",
    retry: false,
  },
  permission_denied: {
    title: "Not allowed",
    next: "Sign in again in another tab, then retry; or ask the administrator for permission.",
    retry: true,
  },
  not_found: {
    title: "No longer there",
    next: "Try again; if it fails once more, reload the page.",
    retry: true,
  },
  not_supported: {
    title: "Not possible here",
    next: "This place takes no uploads. Choose another one.",
    retry: false,
  },
  timeout: {
    title: "Took too long",
    next: "Try again when the connection is better.",
    retry: true,
  },
  conflict: {
    title: "Interrupted",
    next: "Try again.",
    retry: true,
  },
  expired: {
    title: "Waited too long",
    next: "Try again: the upload starts afresh.",
    retry: true,
  },
  too_large: {
    title: "Too large",
    next: "Make the file smaller, or ask the administrator to raise the limit.",
    retry: false,
  },
  bad_type: {
    title: "Type not accepted",
    next: "Convert the file to a type that is accepted here.",
    retry: false,
  },
  range: {
    title: "Part not available",
    next: "Reload the page.",
    retry: true,
  },
  checksum_mismatch: {
    title: "Damaged on the way",
    next: "Try again. If the file is being written to, wait until that is finished.",
    retry: true,
  },
  storage_error: {
    title: "Storage failed",
    next: "Try again; if it fails once more, tell the administrator.",
    retry: true,
  },
  storage_unavailable: {
    title: "Storage unavailable",
    next: "It cannot be reached now. Try again in a moment.",
    retry: true,
  },
  no_space: {
    title: "No space left",
    next: "Ask the administrator to make room, then try again.",
    retry: true,
  },

  // Seen by the browser alone.
  network: {
    title: "Connection lost",
    next: "Check your connection and try again; if it fails once more, tell the administrator.",
    retry: true,
  },
  busy: {
    title: "Too many requests",
    next: "Wait a minute, then try again.",
    retry: true,
  },
  unexpected: {
    title: "Something went wrong",
    next: "Try again; if it fails once more, tell the administrator.",
    retry: true,
  },
  unreadable: {
    title: "Cannot be read",
    next: "It may have been moved or changed, or be open elsewhere. Add it again.",
    retry: true,
  },
};

/**
 * @param {string} code
 * @returns {Message} For a code that a later server sends, what fits any error.
 */
export function messageFor(code) {
  return Object.hasOwn(MESSAGES, code) ? MESSAGES[code] : MESSAGES.unexpected;
}
