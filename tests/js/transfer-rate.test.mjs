import assert from "node:assert/strict";
import { test } from "node:test";

import { TransferRate, secondsLeft } from "../../datasette_files/static/upload/rate.js";

test("a steady transfer has its speed, once it has lasted", () => {
  const rate = new TransferRate();
  rate.add(100, 0);
  assert.equal(rate.speed(100), null);
  for (let now = 100; now <= 3000; now += 100) rate.add(100, now);
  assert.ok(Math.abs(rate.speed(3000) - 1000) < 50);
});

test("what was long ago is forgotten", () => {
  const rate = new TransferRate();
  for (let now = 0; now <= 10_000; now += 100) rate.add(1000, now);
  for (let now = 10_000; now <= 20_000; now += 100) rate.add(10, now);
  assert.ok(Math.abs(rate.speed(20_000) - 100) < 10);
});

test("a stalled transfer comes to rest", () => {
  const rate = new TransferRate();
  for (let now = 0; now <= 2000; now += 100) rate.add(1000, now);
  assert.ok(rate.speed(60_000) < 1000);
});

test("nobody can tell how long a standstill lasts", () => {
  assert.equal(secondsLeft(1000, null), null);
  assert.equal(secondsLeft(1000, 0), null);
  assert.equal(secondsLeft(0, 100), null);
  assert.equal(secondsLeft(1000, 100), 10);
});
