/**
 * The words for people: a message for each error code, and the sentences of the elements. The codes
 * are those of docs/api.md (a test compares) and those that only a browser can see.
 */

/**
 * @typedef {object} Message
 * @property {string} title What happened, in a few words.
 * @property {string} next What to do about it.
 * @property {boolean} retry Whether trying again may help.
 */

/** Title and next by code. @type {Record<string, [string, string]>} */
const TABLE = {
  invalid: ["Not accepted", "Rename the file if its name is unusual, and add it again."],
  permission_denied: ["Not allowed", "Sign in again in another tab and retry, or ask the administrator."],
  not_found: ["No longer there", "Try again; if it fails again, reload the page."],
  not_supported: ["Not possible here", "Files cannot be uploaded to this source. Choose another one."],
  timeout: ["Took too long", "Try again when the connection is better."],
  conflict: ["Interrupted", "Try again."],
  expired: ["Waited too long", "Try again: the upload starts from the beginning."],
  too_large: ["Too large", "Make the file smaller, or ask the administrator to raise the limit."],
  bad_type: ["Type not accepted", "Convert the file to a type that is accepted here."],
  range: ["Part not available", "Reload the page."],
  checksum_mismatch: ["Damaged on the way", "Try again, once no program is writing the file any more."],
  storage_error: ["Storage failed", "Try again; if it fails again, tell the administrator."],
  storage_unavailable: ["Storage unavailable", "It cannot be reached now. Try again in a moment."],
  quota_exceeded: ["No room left", "Ask the sender of the link for a new one, or send smaller files."],
  no_space: ["No space left", "Ask the administrator to make room, then try again."],

  // Only a browser can see these.
  network: ["Connection lost", "Check your connection and try again. If that fails, tell the administrator."],
  other_site: [
    "Taken for another site",
    "Tell the administrator: a proxy changes the Host header (operations.md, Behind a proxy).",
  ],
  busy: ["Too many requests", "Wait a minute, then try again."],
  unexpected: ["Something went wrong", "Try again; if it fails again, tell the administrator."],
  unreadable: ["Cannot be read", "It may have been moved or changed, or be in use elsewhere. Add it again."],
};
/** Codes of refusals that would be repeated. */
const FINAL = new Set(["invalid", "not_supported", "too_large", "bad_type"]);

/** @type {Record<string, Message>} */
export const MESSAGES = Object.fromEntries(
  Object.entries(TABLE).map(([code, [title, next]]) => [code, { title, next, retry: !FINAL.has(code) }]),
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

/** Sentences of the elements and pages. */
export const TEXT = {
  leftOut: "One file at a time: the others were left out.",
  goesOn: "It goes on by itself.",
  mayBeStored: "It was cancelled on its way and may be stored. A retry stores it once.",
  noFiles: "No files were found in it.",
  manyFailed: "So many files have failed that no more are read. Retry them, or cancel all.",
  leaving: "Files are still being uploaded. Cancel the uploads and close?",
  uploading: "A file is still being uploaded. Wait until it is done, or cancel it; then save.",
  noSources: "You may neither browse nor upload files here. Ask the administrator for permission.",
  missing: "This file was deleted, or you may not see it. Its id stays here unless you change it.",
  empty: { file: "No file.", files: "No files." },
  notIds: {
    file: "This is not the id of a file, so it is shown as text. A chosen or uploaded file replaces it.",
    files: "This is not a list of file ids, so it is shown as text. A chosen or uploaded file replaces it.",
  },
  notShown:
    "This file cannot be shown: it may be damaged, of a type unknown to your browser, or unavailable for now.",
};
