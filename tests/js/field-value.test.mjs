import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_IDS, emptyValue, idsOf, moved, valueOf } from "../../datasette_files/static/field/value.js";

const ONE = "df-01j5a3b4c5d6e7f8g9h0jkmnpq";
const TWO = "df-01j5a3b4c5d6e7f8g9h0jkmnpr";

test("values are read as the server reads them", () => {
  for (const type of ["file", "files"]) {
    assert.deepEqual(idsOf(type, null), []);
    assert.deepEqual(idsOf(type, ""), []);
    assert.equal(idsOf(type, 7), null);
  }
  assert.deepEqual(idsOf("file", ONE), [ONE]);
  assert.deepEqual(idsOf("files", ` ["${ONE}",\n"${TWO}"] `), [ONE, TWO]);
  assert.deepEqual(idsOf("files", "[]"), []);
});

test("what is no value of ours is left alone", () => {
  for (const value of ["df-1", `${ONE} `, ONE.toUpperCase(), "photo.jpg", `["${ONE}"]`]) {
    assert.equal(idsOf("file", value), null);
  }
  for (const value of ["[broken", ONE, "{}", '"x"', "[1]", "[null]", `[["${ONE}"]]`, "7", "null"]) {
    assert.equal(idsOf("files", value), null);
  }
});

test("a list that is too long is text, as in the cell", () => {
  const list = (length) => JSON.stringify(Array.from({ length }, () => ONE));
  assert.equal(idsOf("files", list(MAX_IDS)).length, MAX_IDS);
  assert.equal(idsOf("files", list(MAX_IDS + 1)), null);
});

test("values are written as they are read", () => {
  assert.equal(valueOf("file", [ONE], null), ONE);
  assert.deepEqual(idsOf("files", valueOf("files", [ONE, TWO], null)), [ONE, TWO]);
  assert.equal(valueOf("files", [], "[]"), "[]");
});

test("nothing stays the nothing that it was", () => {
  assert.equal(emptyValue("files", "[]", false), "[]");
  assert.equal(emptyValue("file", "", false), "");
  assert.equal(emptyValue("file", ONE, false), null);
  assert.equal(emptyValue("file", ONE, true), "");
  assert.equal(emptyValue("files", null, true), "[]");
});

test("one is moved, and none is lost", () => {
  const all = ["a", "b", "c"];
  assert.deepEqual(moved(all, 0, 2), ["b", "c", "a"]);
  assert.deepEqual(moved(all, 2, 1), ["a", "c", "b"]);
  for (const [from, to] of [[0, 3], [-1, 0], [0, -1], [3, 0]]) {
    assert.deepEqual(moved(all, from, to), all);
  }
  assert.deepEqual(all, ["a", "b", "c"]);
});
