/**
 * Numbers, names and facts as people read them. Pure; leaves out all that depends on a page.
 */

const UNITS = ["bytes", "KB", "MB", "GB", "TB"];

/**
 * In powers of 1024, like the sizes on the server's pages.
 * @param {number} bytes
 */
export function formatBytes(bytes) {
  let step = 0;
  let amount = bytes;
  while (amount >= 1024 && step < UNITS.length - 1) {
    amount /= 1024;
    step += 1;
  }
  if (step === 0) return `${formatCount(bytes)} ${bytes === 1 ? "byte" : "bytes"}`;
  return `${amount.toFixed(1)} ${UNITS[step]}`;
}

/** @param {number} bytesPerSecond */
export function formatSpeed(bytesPerSecond) {
  return `${formatBytes(Math.round(bytesPerSecond))}/s`;
}

/**
 * Longer times are coarser, so that a countdown does not flicker.
 * @param {number} seconds
 */
export function formatDuration(seconds) {
  const whole = Math.max(1, Math.ceil(seconds));
  if (whole < 60) return `${whole} s`;
  // Rounded once, to the smaller unit shown, so that it is never "1 min 60 s".
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.ceil(whole / 60);
  return `${formatCount(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

/** @param {number} number Written with separators of thousands, like the server's pages. */
export function formatCount(number) {
  return number.toLocaleString("en");
}

/**
 * @param {number} number
 * @param {string} noun Its plural takes an s.
 */
export function counted(number, noun) {
  return `${formatCount(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** @param {string[]} parts @returns {string} Those that are not empty, on one line. */
export function joined(...parts) {
  return parts.filter((part) => part !== "").join(" · ");
}

/** As the server's pages mark them: controls, and characters that change the direction of other text. */
const INVISIBLE = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/** @param {string} name A file's. @returns {string} With a mark for each character that would hide. */
export function plain(name) {
  return name.replace(INVISIBLE, "\ufffd") || "(no name)";
}
