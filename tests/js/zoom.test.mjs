/** A picture in its frame: enlarged around a point, moved within its edges; and the swipe of a finger. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_SCALE, moved, swiped, WHOLE, zoomed } from "../../datasette_files/static/viewer/zoom.js";

const SIZES = { picture: [800, 400], frame: [800, 600] };

/** Where a point of the picture, from its middle at scale 1, is in the frame. */
const seen = ({ scale, x, y }, point) => ({ x: point.x * scale + x, y: point.y * scale + y });

test("the point under the pointer stays where it is", () => {
  const at = { x: 100, y: -50 };
  const view = zoomed(WHOLE, 4, at, SIZES);
  assert.equal(view.scale, 4);
  assert.deepEqual(seen(view, at), at);
  const back = zoomed(view, 0.75, at, SIZES);
  assert.deepEqual(seen(back, at), at);
});

test("no picture is smaller than its frame or larger than the bound", () => {
  const corner = { x: 400, y: 200 };
  assert.equal(zoomed(WHOLE, 100, corner, SIZES).scale, MAX_SCALE);
  assert.deepEqual(zoomed(zoomed(WHOLE, 3, corner, SIZES), 0, corner, SIZES), WHOLE);
  assert.deepEqual(zoomed(WHOLE, 0.5, corner, SIZES), WHOLE);
});

test("a picture is moved up to its edges", () => {
  const view = zoomed(WHOLE, 2, { x: 0, y: 0 }, SIZES);
  assert.deepEqual(moved(view, { x: 30, y: -20 }, SIZES), { scale: 2, x: 30, y: -20 });
  assert.deepEqual(moved(view, { x: 9999, y: -9999 }, SIZES), { scale: 2, x: 400, y: -100 });
  assert.deepEqual(moved(WHOLE, { x: 50, y: 50 }, SIZES), WHOLE);
});

test("a swipe is long enough and level", () => {
  assert.equal(swiped({ x: -80, y: 10 }), 1);
  assert.equal(swiped({ x: 80, y: -10 }), -1);
  assert.equal(swiped({ x: 40, y: 0 }), 0);
  assert.equal(swiped({ x: 80, y: 60 }), 0);
  assert.equal(swiped({ x: Number.NaN, y: Number.NaN }), 0);
});
