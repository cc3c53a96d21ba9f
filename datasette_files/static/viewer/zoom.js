/**
 * How a picture lies in its frame, enlarged and moved. Pure: sizes and points are in CSS pixels, points count
 * from the middle of the frame.
 */

/** @typedef {{x: number, y: number}} Point */
/** `scale` is 1 where the whole picture is shown. @typedef {{scale: number, x: number, y: number}} View */
/** Of the whole picture, and of the frame. @typedef {{picture: [number, number], frame: [number, number]}} Sizes */

/** @type {View} */
export const WHOLE = { scale: 1, x: 0, y: 0 };
/** The most by which a picture is enlarged. */
export const MAX_SCALE = 8;
/** Pixels that a finger moves, at least, to turn to another file. */
const SWIPE = 50;

/** @param {number} offset @param {number} picture @param {number} frame */
function bounded(offset, picture, frame) {
  const room = Math.max(0, (picture - frame) / 2);
  return Math.min(room, Math.max(-room, offset));
}

/** The view without an empty edge where the picture could fill it. @param {View} view @param {Sizes} sizes */
function inside({ scale, x, y }, { picture, frame }) {
  return {
    scale,
    x: bounded(x, picture[0] * scale, frame[0]),
    y: bounded(y, picture[1] * scale, frame[1]),
  };
}

/**
 * @param {View} view @param {number} factor @param {Point} point Stays where it is. @param {Sizes} sizes
 * @returns {View}
 */
export function zoomed(view, factor, point, sizes) {
  const scale = Math.min(MAX_SCALE, Math.max(1, view.scale * factor));
  const by = scale / view.scale;
  const x = point.x - (point.x - view.x) * by;
  const y = point.y - (point.y - view.y) * by;
  return inside({ scale, x, y }, sizes);
}

/** @param {View} view @param {Point} by @param {Sizes} sizes @returns {View} */
export function moved(view, by, sizes) {
  return inside({ scale: view.scale, x: view.x + by.x, y: view.y + by.y }, sizes);
}

/** @param {Point} by How far a finger moved. @returns {1 | -1 | 0} The next file, the one before, or none. */
export function swiped({ x, y }) {
  const level = Math.abs(x) >= SWIPE && Math.abs(x) >= 2 * Math.abs(y);
  if (!level) return 0; // nor without a beginning
  return x < 0 ? 1 : -1;
}
