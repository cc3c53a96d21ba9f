/**
 * Numbers as people read them. Pure; leaves out all that depends on a page.
 */

const UNITS = ["bytes", "KB", "MB", "GB", "TB"];

/**
 * In powers of 1024, as the server's pages write sizes.
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
 * Coarser the longer it is, so that a countdown does not flicker.
 * @param {number} seconds
 */
export function formatDuration(seconds) {
  const whole = Math.max(1, Math.ceil(seconds));
  if (whole < 60) return `${whole} s`;
  // Rounded once, to the smaller of the two units shown: never "1 min 60 s".
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.ceil(whole / 60);
  return `${formatCount(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

/** @param {number} number With thousands apart, as the server's pages write it. */
export function formatCount(number) {
  return number.toLocaleString("en");
}

/**
 * @param {number} number
 * @param {string} noun One that takes an s.
 */
export function counted(number, noun) {
  return `${formatCount(number)} ${noun}${number === 1 ? "" : "s"}`;
}
