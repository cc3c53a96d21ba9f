"""A set of integers in little memory."""

from __future__ import annotations

import random

from datasette_files.maintenance.numbers import Numbers


def test_numbers_are_kept_apart_and_close_together() -> None:
    chance = random.Random(20)
    kept = {chance.randrange(1 << 40) for _ in range(200)} | set(range(65_500, 65_600)) | {0}
    numbers = Numbers()
    numbers.update(kept)
    numbers.update([7, 7])
    others = {number ^ 1 for number in kept} | {number + (1 << 16) for number in kept}
    asked = sorted(kept | others | {7})
    assert numbers.without(asked) == sorted(set(asked) - kept - {7})
    assert Numbers().without([0, 1 << 20]) == [0, 1 << 20]
