import assert from "node:assert/strict";
import { test } from "node:test";

import { counted, formatBytes, formatDuration, formatSpeed } from "../../datasette_files/static/shared/format.js";

test("bytes are written as the server's pages write them", () => {
  const written = [0, 1, 1023, 1024, 1536, 5_000_000, 2 ** 40, 2 ** 60].map(formatBytes);
  assert.deepEqual(written, [
    "0 bytes",
    "1 byte",
    "1,023 bytes",
    "1.0 KB",
    "1.5 KB",
    "4.8 MB",
    "1.0 TB",
    "1048576.0 TB",
  ]);
});

test("speeds are bytes per second", () => {
  assert.equal(formatSpeed(1_500_000.7), "1.4 MB/s");
});

test("durations never show sixty of anything", () => {
  const written = [0.2, 59, 59.9, 60, 61.5, 3599.9, 3600, 7261].map(formatDuration);
  assert.deepEqual(written, [
    "1 s",
    "59 s",
    "1 min 0 s",
    "1 min 0 s",
    "1 min 2 s",
    "1 h 0 min",
    "1 h 0 min",
    "2 h 2 min",
  ]);
});

test("nouns agree with their numbers", () => {
  assert.equal(counted(1, "file"), "1 file");
  assert.equal(counted(5000, "file"), "5,000 files");
});
