/**
 * How fast bytes go, smoothed: the mean over the last seconds. Pure; times are given to it.
 */

/** Milliseconds that the mean looks back. */
const WINDOW = 5000;
/** Milliseconds between two samples that are kept, so that their number is bounded. */
const STEP = 250;
/** Milliseconds before which a mean says little. */
const SETTLED = 500;

export class TransferRate {
  constructor() {
    /** The first is as old as the window is wide, or the beginning.
     * @type {{time: number, bytes: number}[]} */
    this._samples = [];
    this._bytes = 0;
  }

  /**
   * More bytes have gone.
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
 * @param {number} bytes That are still to go.
 * @param {number | null} speed In bytes per second.
 * @returns {number | null} Seconds; null where nobody can tell, as when all bytes have gone and the
 *   server has yet to answer.
 */
export function secondsLeft(bytes, speed) {
  return speed === null || speed < 1 || bytes === 0 ? null : bytes / speed;
}
