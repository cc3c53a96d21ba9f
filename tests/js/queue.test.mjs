import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "../../datasette_files/static/api.js";
import { NotCompleted } from "../../datasette_files/static/upload/client.js";
import { UploadQueue } from "../../datasette_files/static/upload/queue.js";
import { windowOf } from "../../datasette_files/static/upload/window.js";

/** A queue whose uploads end when the test says so. */
function scene(now = () => 0) {
  const running = new Map();
  const upload = ({ file }, options) =>
    new Promise((resolve, reject) => {
      running.set(file.name, { resolve, reject, ...options });
      options.signal.addEventListener("abort", () => reject(options.signal.reason));
    });
  const queue = new UploadQueue(upload, { now });
  const told = [];
  for (const type of ["uploaded", "failed", "finished"]) {
    queue.addEventListener(type, ({ item }) => told.push(item ? `${type} ${item.file.name}` : type));
  }
  return { queue, running, told };
}

const files = (number) =>
  Array.from({ length: number }, (_, place) => ({ file: { name: `${place}`, size: 10 } }));
const states = (items) => items.map((item) => item.state).join(" ");
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("four at once, in the order in which they came", async () => {
  const { queue, running } = scene();
  const items = queue.add(files(6));
  assert.deepEqual([...running.keys()], ["0", "1", "2", "3"]);
  running.get("2").resolve({ id: "df-2" });
  await settled();
  assert.deepEqual([...running.keys()], ["0", "1", "2", "3", "4"]);
  assert.equal(states(items), "checking checking done checking checking queued");
});

test("it finishes once, and again when there was more", async () => {
  const { queue, running, told } = scene();
  queue.add(files(2));
  running.get("0").resolve({});
  running.get("1").reject(new ApiError("no_space", "full"));
  await settled();
  assert.deepEqual(told, ["uploaded 0", "failed 1", "finished"]);
  assert.equal(queue.busy, false);
  queue.retryFailed();
  assert.equal(queue.busy, true);
  running.get("1").resolve({});
  await settled();
  assert.deepEqual(told.slice(3), ["uploaded 1", "finished"]);
});

test("one that is being completed is not called back", async () => {
  const { queue, running } = scene();
  const [item] = queue.add(files(1));
  running.get("0").onStep("finishing");
  queue.cancel(item);
  queue.remove(item);
  assert.equal(states([...queue.items]), "finishing");
  running.get("0").resolve({});
  await settled();
  assert.equal(item.state, "done");
});

test("cancelled are those in line and those on their way", async () => {
  const { queue, running, told } = scene();
  const items = queue.add(files(6));
  queue.cancelAll();
  await settled();
  assert.equal(states(items), "cancelled ".repeat(6).trim());
  assert.equal(running.size, 4);
  assert.deepEqual(told, ["finished"]);
});

test("what was refused beforehand is not sent, now or later", async () => {
  const { queue, running, told } = scene();
  const problem = new ApiError("unreadable", "gone");
  const [item] = queue.add([{ file: { name: "0", size: 1 }, problem }]);
  assert.deepEqual(told, ["failed 0", "finished"]);
  queue.retryFailed();
  assert.equal(item.state, "failed");
  assert.equal(running.size, 0);
});

test("a retry goes on from bytes that have all arrived", async () => {
  const { queue, running } = scene();
  const [item] = queue.add(files(1));
  running.get("0").reject(new NotCompleted(new ApiError("network", ""), "tok_1"));
  await settled();
  queue.retry(item);
  assert.equal(running.get("0").token, "tok_1");
});

test("bytes are those of what was added since it last rested", async () => {
  const { queue, running } = scene();
  queue.add(files(2));
  running.get("0").onProgress(5);
  assert.deepEqual([queue.summary().sent, queue.summary().total], [5, 20]);
  running.get("0").resolve({});
  running.get("1").resolve({});
  await settled();
  assert.deepEqual([queue.summary().sent, queue.summary().total], [20, 20]);
  queue.add(files(1));
  assert.deepEqual([queue.summary().sent, queue.summary().total], [0, 10]);
  assert.equal(queue.summary().counts.done, 2);
});

test("of very many, those that want attention are shown, in their order", () => {
  const items = Array.from({ length: 5000 }, (_, number) => ({
    number,
    state: number < 2000 ? (number % 100 ? "done" : "failed") : number < 2004 ? "sending" : "queued",
    get working() {
      return this.state === "sending";
    },
  }));
  const { shown, hidden } = windowOf(new Set(items));
  const of = (state) => shown.filter((item) => item.state === state).length;
  assert.deepEqual([of("failed"), of("done"), of("sending"), of("queued")], [20, 15, 4, 10]);
  assert.deepEqual(hidden, { done: 1965, failed: 0, cancelled: 0, queued: 2986 });
  assert.ok(shown.every(({ number }, place) => place === 0 || shown[place - 1].number < number));
  assert.equal(windowOf(new Set(items.slice(0, 60))).shown.length, 60);
});

test("what was cancelled does not count as done", () => {
  const items = Array.from({ length: 100 }, (_, number) => ({ number, state: "cancelled" }));
  const hidden = { done: 0, failed: 0, cancelled: 85, queued: 0 };
  assert.deepEqual(windowOf(new Set(items)).hidden, hidden);
});

test("bytes that had arrived before a retry do not count as speed", async () => {
  let time = 0;
  const { queue, running } = scene(() => time);
  const [, other] = queue.add(files(2));
  running.get("0").reject(new NotCompleted(new ApiError("network", ""), "tok_1"));
  running.get("1").onProgress(5);
  await settled();
  queue.retryFailed();
  time = 1000;
  running.get("0").resolve({});
  await settled();
  assert.equal(queue.summary().speed, 5);
  assert.equal(queue.pace(other).left, 1);
});

test("how many have failed is known at any moment", async () => {
  const { queue, running } = scene();
  queue.add([...files(2), { file: { name: "9", size: 1 }, problem: new ApiError("too_large", "") }]);
  running.get("0").reject(new ApiError("network", ""));
  await settled();
  assert.equal(queue.failed, 2);
  queue.retryFailed(); // what was refused stays refused
  assert.equal(queue.failed, 1);
  running.get("0").reject(new ApiError("network", ""));
  await settled();
  queue.remove([...queue.items][0]);
  assert.equal(queue.failed, 1);
  queue.clear();
  assert.equal(queue.failed, 0);
});

test("of very many files a list takes in as many as fit, and keeps the latest", async () => {
  const limits = { waiting: 3, failed: 2, done: 2, whole: 1 };
  const queue = new UploadQueue(async ({ file }) => ({ id: `df-${file.name}` }), { limits });
  queue.expect(true);
  let most = 0;
  for (const one of files(20)) {
    queue.add([one]);
    await queue.room();
    most = Math.max(most, queue.summary().counts.queued);
  }
  await settled();
  assert.deepEqual([most < 3, queue.busy, queue.items.size], [true, false, 2]);
  // The browser holds the bytes of few of them.
  const [earlier, latest] = Array.from(queue.items, ({ file }) => file);
  assert.deepEqual([earlier, latest], [{ name: "18", size: 10, type: "" }, { name: "19", size: 10 }]);
  const { counts, sent, total } = queue.summary();
  assert.deepEqual([counts.done, sent, total], [20, 200, 200]);
  assert.deepEqual(queue.past.ids, Array.from({ length: 18 }, (_, place) => `df-${place}`));
  queue.expect(false);
  queue.expect(true); // another folder
  queue.add(files(1));
  await settled();
  assert.deepEqual([queue.summary().counts.done, queue.summary().total], [21, 10]);
  queue.expect(false);
  assert.equal(queue.summary().total, 210);
  queue.clear();
  assert.deepEqual([queue.summary().counts.done, queue.items.size], [0, 0]);
});

test("no more are taken in while many have failed, but those that were refused do not count", async () => {
  const limits = { waiting: 9, failed: 2, done: 9 };
  let works = false;
  const upload = async () => {
    if (!works) throw new ApiError("network", "gone");
    return {};
  };
  const queue = new UploadQueue(upload, { limits });
  const problem = new ApiError("too_large", "");
  queue.add(files(5).map((one) => ({ ...one, problem })));
  await queue.room();
  queue.add(files(2));
  await settled();
  let taken = false;
  const room = queue.room().then(() => (taken = true));
  await settled();
  assert.deepEqual([queue.tooManyFailed, taken], [true, false]);
  works = true;
  queue.retryFailed();
  await room;
  assert.deepEqual([queue.tooManyFailed, queue.failed], [false, 5]);
});
