/**
 * The speed of a transfer: the mean over the last seconds. Pure; the caller passes the time.
 */

/** Milliseconds that the mean covers. */
const WINDOW = 5000;
/** Least milliseconds between two samples, which bounds their number. */
const STEP = 250;
/** Milliseconds that a mean needs at least. */
const SETTLED = 500;

export class TransferRate {
  constructor() {
    /** The first sample lies at the window's start, or is the first of all.
     * @type {{time: number, bytes: number}[]} */
    this._samples = [];
    this._bytes = 0;
  }

  /**
   * Count bytes that were sent.
   * @param {number} bytes @param {number} now In milliseconds.
   */
  add(bytes, now) {
    const latest = this._samples.at(-1);
    if (latest === undefined || now - latest.time >= STEP) {
      this._samples.push({ time: now, bytes: this._bytes });
    }
    this._bytes += bytes;
    this._forget(now);
  }

  /**
   * @param {number} now In milliseconds.
   * @returns {number | null} Bytes per second; null while too little is known.
   */
  speed(now) {
    this._forget(now);
    const first = this._samples[0];
    if (first === undefined || now - first.time < SETTLED) return null;
    return ((this._bytes - first.bytes) * 1000) / (now - first.time);
  }

  /** @param {number} now */
  _forget(now) {
    while (this._samples.length > 1 && now - this._samples[1].time >= WINDOW) {
      this._samples.shift();
    }
  }
}

/**
 * @param {number} bytes Still to send.
 * @param {number | null} speed In bytes per second.
 * @returns {number | null} Seconds; null if unknown, also when all bytes are sent and only the
 *   server's answer is missing.
 */
export function secondsLeft(bytes, speed) {
  return speed === null || speed < 1 || bytes === 0 ? null : bytes / speed;
}
