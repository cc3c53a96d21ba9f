import assert from "node:assert/strict";
import { test } from "node:test";

import { UploadRules } from "../../datasette_files/static/upload/rules.js";
import { MESSAGES, messageFor } from "../../datasette_files/static/shared/messages.js";

const rules = new UploadRules(10, "image/*, application/pdf");

test("size and type are judged as the server judges them", () => {
  assert.equal(rules.problem({ size: 10, type: "image/png" }), null);
  assert.equal(rules.problem({ size: 11, type: "image/png" }).code, "too_large");
  assert.equal(rules.problem({ size: 1, type: "text/plain" }).code, "bad_type");
  assert.ok(rules.accepts("Application/PDF; version=2"));
  assert.ok(!rules.accepts("application/pdfx"));
  assert.ok(!rules.accepts("imagery/png"));
});

test("sizes are told so that they differ", () => {
  const limit = new UploadRules(20_000_000, "");
  assert.match(limit.problem({ size: 20_000_001, type: "" }).message, /20,000,001 .*20,000,000 /);
  assert.match(limit.problem({ size: 40_000_000, type: "" }).message, /38\.1 MB.*19\.1 MB/);
});

test("types that no browser could name are left to the server", () => {
  assert.ok(rules.accepts(""));
  assert.ok(rules.accepts("application/octet-stream"));
});

test("no limits, no problem", () => {
  assert.equal(new UploadRules(null, "").problem({ size: 2 ** 40, type: "text/html" }), null);
});

test("every message says what happened and what to do next", () => {
  for (const { title, next } of Object.values(MESSAGES)) {
    assert.match(title, /^[A-Z].*[^.]$/);
    assert.match(next, /^[A-Z].*\.$/);
  }
  assert.equal(messageFor("from a later release"), MESSAGES.unexpected);
  assert.equal(messageFor("constructor"), MESSAGES.unexpected);
});

test("extensions and any type are what they are in HTML", () => {
  const mixed = new UploadRules(null, ".PDF,image/*");
  assert.ok(mixed.accepts("application/pdf", "A.pdf"));
  assert.ok(!mixed.accepts("text/plain", "a.txt"));
  assert.ok(mixed.accepts("", "a.bin")); // left to the server, as it may be an image
  assert.ok(!new UploadRules(null, ".pdf").accepts("", "a.bin"));
  assert.ok(new UploadRules(null, "*/*").accepts("text/plain", "a.txt"));
});

test("of a stored file the type is known", () => {
  const stored = { filename: "a.bin", size: 10, content_type: "application/octet-stream" };
  assert.match(rules.refusal(stored), /application\/octet-stream.*image/);
  assert.match(rules.refusal({ ...stored, content_type: null }), /an unknown type/);
  assert.equal(rules.refusal({ ...stored, content_type: "image/png; q=1" }), "");
  assert.match(rules.refusal({ ...stored, content_type: "image/png", size: 11 }), /at most/);
  assert.equal(rules.refusal({ ...stored, content_type: "image/png", size: null }), "");
  assert.equal(new UploadRules(null, "").refusal(stored), "");
});
