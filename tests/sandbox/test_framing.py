"""Frames are bounded on both sides, whoever sends them."""

from __future__ import annotations

import io
from typing import Any

import pytest

from datasette_files.sandbox import framing
from datasette_files.sandbox.framing import LENGTH, MAX_FRAME, MAX_MESSAGE, Broken
from datasette_files.sandbox.process import Child
from tests.sandbox.kinds import KINDS, behaving


@pytest.mark.parametrize("message", [{}, {"a": "é\n\ud800"}, {"a": "x" * (MAX_FRAME + 1)}])
def test_a_message_of_any_size_comes_back(message: dict[str, Any]) -> None:
    source = io.BytesIO(framing.packed(message) * 2)
    expected = {name: text.replace("\ud800", "?") for name, text in message.items()}
    assert [framing.read_message(source) for _ in range(3)] == [expected, expected, None]


def test_a_file_comes_in_frames_of_at_most_2_mib() -> None:
    content = bytes(2 * MAX_FRAME + 1)
    sent = b"".join([*framing.frames(content), framing.END])
    assert [len(piece) for piece in framing.read_pieces(io.BytesIO(sent))] == [
        *(MAX_FRAME, MAX_FRAME, 1)
    ]


def test_a_message_over_the_bound_is_not_sent() -> None:
    with pytest.raises(Broken, match="more than"):
        framing.packed({"a": "x" * MAX_MESSAGE})


@pytest.mark.parametrize(
    "sent",
    [
        LENGTH.pack(MAX_FRAME + 1) + bytes(MAX_FRAME + 1) + framing.END,
        LENGTH.pack(5) + b"{}",
        LENGTH.pack(2) + b"{}",
        LENGTH.pack(2) + b"[]" + framing.END,
        LENGTH.pack(2) + b"{]" + framing.END,
        b"\0\0",
    ],
)
def test_what_breaks_the_framing_is_refused(sent: bytes) -> None:
    with pytest.raises(Broken):
        framing.read_message(io.BytesIO(sent))


@pytest.mark.parametrize(
    "sent",
    [
        f"sink.write(bytes.fromhex('{LENGTH.pack(MAX_FRAME + 1).hex()}'))",
        f"sink.writelines(framing.frames(bytes({MAX_MESSAGE + 1})))",
    ],
    ids=["frame", "message"],
)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_server_takes_no_more_from_a_child(
    monkeypatch: pytest.MonkeyPatch, kind: str, sent: str
) -> None:
    program = f"""
from datasette_files.sandbox import framing
def main(source, sink):
    {sent}
    sink.flush()
    source.read()
program = types.ModuleType("program")
program.main = main
sys.modules[asked["child"]["module"]] = program
"""
    behaving(monkeypatch, program)
    child = await Child.start(*KINDS[kind])
    with pytest.raises(Broken, match="belong"):
        await child.receive()
    await child.close()
