/** The chosen files of a list: kept by the tab, bounded, all that match. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Chosen, MAX_CHOSEN } from "../../datasette_files/static/selection/chosen.js";

/** A tab's storage, which takes at most `room` characters. */
class Tab {
  constructor(room = Infinity) {
    this.room = room;
    this.kept = new Map();
  }

  getItem(key) {
    return this.kept.get(key) ?? null;
  }

  setItem(key, value) {
    if (value.length > this.room) throw new Error("QuotaExceededError");
    this.kept.set(key, value);
  }

  removeItem(key) {
    this.kept.delete(key);
  }
}

test("a choice lasts for the list's key alone, with names", () => {
  const tab = new Tab();
  const chosen = new Chosen("docs", tab);
  chosen.set([["df-a", "a.txt"], ["df-b", "b.txt"]], true);
  chosen.set([["df-a", "a.txt"]], false);
  assert.deepEqual([...new Chosen("docs", tab).names], [["df-b", "b.txt"]]);
  assert.equal(new Chosen("other", tab).size, 0);
  chosen.clear();
  assert.equal(new Chosen("docs", tab).size, 0);
});

test("everything that matches ends with the next choice and is not kept", () => {
  const tab = new Tab();
  const chosen = new Chosen("docs", tab);
  chosen.set([["df-a", "a.txt"]], true);
  chosen.everything = true;
  assert.equal(new Chosen("docs", tab).everything, false);
  chosen.set([["df-b", "b.txt"]], true);
  assert.equal(chosen.everything, false);
});

test("no more are chosen than a request takes", () => {
  const chosen = new Chosen("docs", null);
  const files = Array.from({ length: MAX_CHOSEN + 1 }, (_, n) => [`df-${n}`, `${n}.txt`]);
  chosen.set(files, true);
  assert.equal(chosen.size, MAX_CHOSEN);
});

test("a full or damaged storage does no harm", () => {
  const tab = new Tab(10);
  const chosen = new Chosen("docs", tab);
  chosen.set([["df-a", "a.txt"]], true);
  assert.ok(chosen.has("df-a"));
  tab.kept.set("datasette-files chosen docs", "{");
  assert.equal(new Chosen("docs", tab).size, 0);
});
