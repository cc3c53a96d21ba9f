/**
 * Whether this device is online, as far as the browser knows, and waiting until it is. It may say "online"
 * without a way to the server, so "offline" alone is trusted.
 */

/** @typedef {{isOffline: () => boolean, onOffline: (act: () => void, signal: AbortSignal) => void,
 *   wait: (milliseconds: number, signal?: AbortSignal) => Promise<void>}} Network */

/** @type {Network} */
export const NETWORK = {
  isOffline: () => globalThis.navigator?.onLine === false,

  /** Call `act` when the device goes offline, until the signal. */
  onOffline: (act, signal) => globalThis.addEventListener?.("offline", act, { signal }),

  /**
   * Wait for a number of milliseconds, but not past the moment in which the device comes back online; while it is
   * offline, wait for that. Raises the signal's reason.
   */
  wait: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const ended = new AbortController();
      const end = (/** @type {() => void} */ act) => () => {
        clearTimeout(timer);
        ended.abort();
        act();
      };
      const timed = () => NETWORK.isOffline() || end(resolve)();
      const timer = setTimeout(timed, milliseconds);
      globalThis.addEventListener?.("online", end(resolve), { signal: ended.signal });
      signal?.addEventListener("abort", end(() => reject(signal.reason)), { signal: ended.signal });
    }),
};
