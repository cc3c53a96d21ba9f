/** The files of a list in order: which is beside which, also after the list has changed, and what the tab keeps. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_TRAIL, Trail } from "../../datasette_files/static/shared/trail.js";

const MORE = "/-/files/source/docs?_next=3";

/** A tab's storage, which takes at most `room` characters. */
function tab(room = Infinity) {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem(key, value) {
      if (value.length > room) throw new Error("QuotaExceededError");
      kept.set(key, value);
    },
  };
}

test("a file has neighbours up to the ends of the list", () => {
  const trail = new Trail(["/a", "/b", "/c"]);
  const middle = trail.place("/b");
  assert.deepEqual(trail.step(middle, 1), { path: "/c", index: 2 });
  assert.deepEqual(trail.step(middle, -1), { path: "/a", index: 0 });
  assert.equal(trail.step(trail.place("/a"), -1), null);
  assert.equal(trail.step(trail.place("/c"), 1), null);
  assert.equal(trail.place("/other"), null);
  assert.equal(trail.described(2), "3 of 3");
});

test("a file that rows hold twice is left in the direction it was reached", () => {
  const trail = new Trail(["/a", "/b", "/a", "/c"]);
  assert.deepEqual(trail.step({ path: "/a", index: 2 }, 1), { path: "/c", index: 3 });
  assert.deepEqual(trail.step({ path: "/a", index: 2 }, -1), { path: "/b", index: 1 });
});

test("a file that is gone from the list leaves its neighbours where they are", () => {
  const before = { path: "/b", index: 1 };
  const trail = new Trail(["/a", "/c"]);
  assert.deepEqual(trail.step(before, 1), { path: "/c", index: 1 });
  assert.deepEqual(trail.step(before, -1), { path: "/a", index: 0 });
  assert.equal(new Trail([]).step(before, 1), null);
  // A file that was added above moves the others.
  assert.deepEqual(new Trail(["/new", "/a", "/b", "/c"]).step(before, 1), { path: "/c", index: 3 });
});

test("the list's next page makes it longer, up to a bound", () => {
  const trail = new Trail(["/a"], MORE);
  assert.equal(trail.described(0), "1 of 1+");
  const longer = trail.extended(new Trail(["/b"]));
  assert.deepEqual([longer.paths, longer.more], [["/a", "/b"], null]);
  const many = Array.from({ length: MAX_TRAIL }, (_, index) => `/${index}`);
  const full = new Trail(many, MORE).extended(new Trail(["/last"], MORE));
  assert.deepEqual([full.paths.length, full.more], [MAX_TRAIL, null]);
});

test("the tab keeps it; what is damaged, missing or too long is an empty one", () => {
  const kept = tab();
  new Trail(["/a", "/b"], MORE).save(kept);
  assert.deepEqual(Trail.load(kept), new Trail(["/a", "/b"], MORE));
  for (const text of ["{", "null", '{"paths": 3}']) {
    assert.deepEqual(Trail.load({ getItem: () => text }), new Trail([]));
  }
  assert.deepEqual(Trail.load(null), new Trail([]));
  const full = tab(10);
  new Trail(["/a", "/b"]).save(full);
  assert.deepEqual(Trail.load(full), new Trail([]));
});
