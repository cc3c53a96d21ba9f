import assert from "node:assert/strict";
import { test } from "node:test";

import { chosenFiles, droppedFiles } from "../../datasette_files/static/upload/dropped-files.js";

const file = (name, path) => ({
  name,
  isFile: true,
  fullPath: `/${path}${name}`,
  file: (resolve) => resolve(new File(["x"], name)),
});

/** A folder that gives these batches of entries, one after the other; an Error fails. */
const folder = (name, ...batches) => ({
  name,
  isDirectory: true,
  fullPath: `/${name}`,
  createReader: () => ({
    readEntries(resolve, reject) {
      const batch = batches.shift() ?? [];
      if (batch instanceof Error) reject(batch);
      else resolve(batch);
    },
  }),
});

async function dropped(...entries) {
  const items = entries.map((entry) => ({
    kind: "file",
    webkitGetAsEntry: () => entry,
    getAsFile: () => null,
  }));
  const found = [];
  for await (const batch of droppedFiles({ items })) found.push(...batch);
  return found.map(({ file, path, problem }) => [path + file.name, problem?.code]);
}

test("a folder is read in its batches, in the order of names", async () => {
  const album = folder("album", [file("b10", "album/")], [file("b9", "album/")]);
  assert.deepEqual(await dropped(album), [
    ["album/b9", undefined],
    ["album/b10", undefined],
  ]);
});

test("a folder that cannot be read to its end is told, and what it gave is taken", async () => {
  const album = folder("album", [file("one", "album/")], new Error("NotReadableError"));
  assert.deepEqual(await dropped(album), [
    ["album", "unreadable"],
    ["album/one", undefined],
  ]);
});

test("what systems leave in folders is left out of a folder, and taken by itself", async () => {
  const names = [".DS_Store", "Thumbs.db", "desktop.ini", "notes.db"];
  const album = folder("album", names.map((name) => file(name, "album/")));
  assert.deepEqual(await dropped(album), [["album/notes.db", undefined]]);
  const chosen = (path) => names.map((name) => Object.assign(new File(["x"], name), { webkitRelativePath: path && path + name }));
  assert.deepEqual(chosenFiles(chosen("album/")).map(({ file: one }) => one.name), ["notes.db"]);
  assert.deepEqual(chosenFiles(chosen("")).map(({ file: one }) => one.name), names);
});
