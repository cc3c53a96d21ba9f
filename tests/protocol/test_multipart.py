"""Forms: RFC 7578, the habits of browsers, limits, and bodies cut up or damaged in any way."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datasette_files.protocol.multipart import Field, FilePart, MultipartError, MultipartStream

CONTENT_TYPE = "multipart/form-data; boundary=XyZ"
FIELD = b'--XyZ\r\nContent-Disposition: form-data; name="token"\r\n\r\nabc\r\n'
FILE = (
    b'--XyZ\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nhello\r\n"
)
END = b"--XyZ--\r\n"

Seen = tuple[str, ...] | tuple[str, str, str | None, bytes]


async def arriving(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(
    chunks: Iterable[bytes], content_type: str | None = CONTENT_TYPE, **limits: int
) -> tuple[list[Seen], str | None]:
    """Return all that a form holds and the message of the error that ended it, if one did."""
    seen: list[Seen] = []
    try:
        stream = MultipartStream(content_type, arriving(chunks), **limits)
        while (part := await stream.next_part()) is not None:
            if isinstance(part, Field):
                seen.append((part.name, part.value))
                continue
            data = b""
            try:
                async for chunk in part.chunks():
                    assert chunk
                    data += chunk
            finally:
                seen.append((part.name, part.filename, part.content_type, data))
    except MultipartError as error:
        return seen, str(error)
    return seen, None


def part(disposition: str, data: bytes = b"x", headers: str = "") -> bytes:
    head = f"--XyZ\r\nContent-Disposition: {disposition}\r\n{headers}\r\n"
    return head.encode() + data + b"\r\n"


async def first_part(body: bytes) -> Field | FilePart:
    found = await MultipartStream(CONTENT_TYPE, arriving([body])).next_part()
    assert found is not None
    return found


async def first_file(body: bytes) -> FilePart:
    found = await first_part(body)
    assert isinstance(found, FilePart)
    return found


async def test_fields_come_whole_and_files_as_a_stream() -> None:
    stream = MultipartStream(CONTENT_TYPE, arriving([FIELD + FILE + END]))
    assert await stream.next_part() == Field("token", "abc")
    file = await stream.next_part()
    assert isinstance(file, FilePart)
    assert (file.name, file.filename, file.content_type) == ("file", "a.txt", "text/plain")
    assert file.headers == {
        "content-disposition": 'form-data; name="file"; filename="a.txt"',
        "content-type": "text/plain",
    }
    assert [chunk async for chunk in file.chunks()] == [b"hello"]
    assert [chunk async for chunk in file.chunks()] == []
    assert await stream.next_part() is None
    assert await stream.next_part() is None


async def test_a_file_not_read_is_skipped() -> None:
    chunks = [FILE[:-4], b"more" * 1000, b"and more\r\n", FIELD + END]
    stream = MultipartStream(CONTENT_TYPE, arriving(chunks))
    file = await stream.next_part()
    assert isinstance(file, FilePart)
    reader = file.chunks()
    assert await anext(reader) == b"hel"
    assert await stream.next_part() == Field("token", "abc")
    with pytest.raises(RuntimeError, match="moved on"):
        await anext(reader)
    with pytest.raises(RuntimeError, match="moved on"):
        await anext(file.chunks())


async def test_the_chunks_of_a_file_are_not_copied() -> None:
    sent = [bytes([n]) * 65536 for n in range(1, 5)]
    stream = MultipartStream(CONTENT_TYPE, arriving([FILE[:-7], *sent, b"\r\n" + END]))
    file = await stream.next_part()
    assert isinstance(file, FilePart)
    received = [chunk async for chunk in file.chunks()]
    assert all(chunk is original for chunk, original in zip(received, sent, strict=True))


async def test_the_body_is_read_no_further_than_asked() -> None:
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for chunk in (FIELD, FILE[:-7], b"one", b"two", b"\r\n" + END):
            taken += 1
            yield chunk

    stream = MultipartStream(CONTENT_TYPE, body())
    await stream.next_part()
    file = await stream.next_part()
    assert isinstance(file, FilePart)
    assert taken == 2
    assert await anext(file.chunks()) == b"one"
    assert taken == 3


@pytest.mark.parametrize(
    ("parameter", "filename"),
    [
        ('filename="a.txt"', "a.txt"),
        ("filename=a.txt", "a.txt"),
        ("filename=my file.txt", "my file.txt"),
        ('FileName="a.txt"', "a.txt"),
        ('filename=""', ""),
        ('filename="say %22hi%22.txt"', 'say "hi".txt'),
        (r'filename="say \"hi\".txt"', 'say "hi".txt'),
        (r'filename="C:\dir\file.txt"', r"C:\dir\file.txt"),
        (r'filename="a\\b"', r"a\b"),
        ('filename="ends with \\"', "ends with \\"),
        ('filename="a;b=c,d.txt"', "a;b=c,d.txt"),
        ('filename="100%25 %zz.txt"', "100%25 %zz.txt"),
        ('filename="line%0D%0abreak"', "line\r\nbreak"),
        ('filename="日本 😀.txt"', "日本 😀.txt"),
        ("filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
        ("filename*=iso-8859-1'en'%A3.txt", "£.txt"),
        ("filename=\"x\"; filename*=utf-8''y", "y"),
        ("filename*=utf-8''y; filename=\"x\"", "y"),
        ("filename=\"x\"; filename*=utf-8''%FF", "x"),
        ("filename=\"x\"; filename*=klingon''y", "x"),
        ('filename="x"; filename*=broken', "x"),
        ('filename="a.txt";', "a.txt"),
        ('filename = "a.txt" ', "a.txt"),
    ],
)
async def test_file_names(parameter: str, filename: str) -> None:
    file = await first_file(part(f'form-data; name="f"; {parameter}') + END)
    assert (file.name, file.filename) == ("f", filename)


async def test_a_file_name_that_is_not_utf8_is_read_as_latin_1() -> None:
    body = part('form-data; name="f"; filename="?"').replace(b"?", b"\xe9") + END
    assert (await first_file(body)).filename == "é"


async def test_parts_without_a_type_or_a_name() -> None:
    file = await first_file(part('form-data; filename="a"') + END)
    assert (file.name, file.content_type) == ("", None)
    assert (await first_file(part("form-data; filename=a", headers="Content-Type:\r\n"))).headers[
        "content-type"
    ] == ""
    assert await first_part(part("form-data", b"v") + END) == Field("", "v")
    assert await first_part(part('form-data; name="a%22b"', "é".encode()) + END) == Field(
        'a"b', "é"
    )


@pytest.mark.parametrize(
    "body",
    [
        FIELD + END,
        FIELD + b"--XyZ--",
        FIELD + END + b"epilogue\r\n--XyZ\r\nnothing of this is read",
        b"\r\n" + FIELD + END,
        b"preamble\r\n" + FIELD + END,
        b"preamble --XyZ\r\n--XyZnot yet\r\n" + FIELD + END,
        FIELD.replace(b"XyZ", b"XyZ \t", 1) + END,
        FIELD.replace(b"Content-Disposition: ", b"CONTENT-DISPOSITION:\t") + END,
    ],
)
async def test_what_may_surround_the_parts(body: bytes) -> None:
    expected = ([("token", "abc")], None)
    assert await read([body]) == expected
    assert await read([body[n : n + 1] for n in range(len(body))]) == expected


async def test_empty_forms_and_empty_parts() -> None:
    assert await read([END]) == ([], None)
    assert await read([part('form-data; name="a"', b"") + END]) == ([("a", "")], None)
    assert await read([part("form-data; filename=a", b"") + END]) == ([("", "a", None, b"")], None)


async def test_what_follows_the_form_is_read_to_the_end() -> None:
    chunks = iter([FIELD + END, b"more", b"and more"])
    assert await read(chunks) == ([("token", "abc")], None)
    assert next(chunks, None) is None


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="XyZ"',
        "Multipart/Form-Data;charset=utf-8;  Boundary=XyZ",
        "multipart/form-data; boundary=XyZ;",
    ],
)
async def test_ways_to_write_the_boundary(content_type: str) -> None:
    assert await read([FIELD + END], content_type) == ([("token", "abc")], None)


@pytest.mark.parametrize(
    ("content_type", "message"),
    [
        (None, "not multipart/form-data"),
        ("", "not multipart/form-data"),
        ("application/json", "not multipart/form-data"),
        ("multipart/mixed; boundary=XyZ", "not multipart/form-data"),
        ("multipart/form-data", "no boundary"),
        ('multipart/form-data; boundary=""', "no boundary"),
        ("multipart/form-data; boundary=" + "x" * 71, "longer than 70"),
        ("multipart/form-data; boundary=a\r\nb", "character"),
        ("multipart/form-data; boundary=é", "character"),
        ('multipart/form-data; boundary="a "', "character"),
        ("multipart/form-data; boundary=a; boundary=b", "twice"),
        ('multipart/form-data; boundary="a', "malformed"),
    ],
)
def test_bad_boundaries(content_type: str | None, message: str) -> None:
    with pytest.raises(MultipartError, match=message):
        MultipartStream(content_type, arriving([]))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ends before"),
        (b"no boundary here", "ends before"),
        (b"x" * 20000, "no boundary in the first 16384"),
        (b"--Xy\r\n", "ends before"),
        (FIELD, "ends before"),
        (FILE[:-9], "ends before"),
        (FIELD[:30], "ends before"),
        (FIELD + b"--XyZ-", "ends before"),
        # A fault since python-multipart 0.0.34, data before that, of a form that never ends.
        (FIELD + b"--XyZ x\r\n", "boundary is malformed|ends before"),
        (b"--XyZ\r\n\r\nabc\r\n" + END, "not form-data"),
        (part("attachment; name=a") + END, "not form-data"),
        (part("form-data; name") + END, "malformed parameters"),
        (part('form-data; name="a" b') + END, "malformed parameters"),
        (part("form-data; name=a; name=b") + END, "twice"),
        (part("form-data; name=a; filename*=bad") + END, r"filename\* is malformed"),
        (part("form-data; name=a\x00") + END, "control character"),
        (part("form-data; name=a\n b") + END, "control character"),
        (part("form-data", headers="A: 1\r\na: 2\r\n") + END, "header twice"),
        (part("form-data", headers="No colon\r\n") + END, "header is malformed"),
        (part("form-data", headers=": x\r\n") + END, "header is malformed"),
        (part("form-data", headers="".join(f"H{n}: 1\r\n" for n in range(40))) + END, "malformed"),
        (part("form-data", headers="A: " + "x" * 20000 + "\r\n") + END, "longer than 16384"),
        (part("form-data", headers="A: " + " " * 20000 + "\r\n") + END, "longer than 16384"),
        (part("form-data", headers="Content-Transfer-Encoding: base64\r\n"), "Transfer-Encoding"),
        (part("form-data; name=a", b"\xff") + END, "not UTF-8"),
        (part("form-data; name=a", b"x" * 65537) + END, "longer than 65536"),
        (FIELD * 21 + END, "more than 20 parts"),
    ],
)
async def test_malformed_bodies(body: bytes, message: str) -> None:
    whole = await read([body])
    assert whole[1] is not None
    assert re.search(message, whole[1])
    assert await read([body[n : n + 7] for n in range(0, len(body), 7)]) == whole


async def test_limits_are_met_exactly() -> None:
    value = "v" * 100
    body = part("form-data; name=a", value.encode()) * 3 + END
    assert (await read([body], max_fields=3, max_field_bytes=100))[1] is None
    assert (await read([body], max_fields=2))[1] == "the form has more than 2 parts"
    assert (await read([body], max_field_bytes=99))[1] == "a field is longer than 99 bytes"
    head = len("Content-Disposition" + "form-data; name=a")
    assert (await read([body], max_header_bytes=head + 2))[1] is None
    assert "longer than 35 bytes" in str((await read([body], max_header_bytes=head - 1))[1])


async def test_parts_before_a_fault_are_handed_out_and_the_fault_stays() -> None:
    stream = MultipartStream(CONTENT_TYPE, arriving([FIELD + FILE + b"--XyZ?\r\n" + FILE[:-9]]))
    assert await stream.next_part() == Field("token", "abc")
    assert isinstance(await stream.next_part(), FilePart)
    for _ in range(2):
        with pytest.raises(MultipartError, match="ends before"):
            await stream.next_part()


async def test_an_exception_of_the_source_passes_through() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield FILE[:-7]
        raise ConnectionResetError("gone")

    stream = MultipartStream(CONTENT_TYPE, body())
    file = await stream.next_part()
    assert isinstance(file, FilePart)
    with pytest.raises(ConnectionResetError):
        await anext(file.chunks())
    with pytest.raises(MultipartError, match="ends before"):
        await stream.next_part()


# Data that looks like boundaries, and names that need escapes.
near_boundaries = st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--", b"XyZ", b"\r\n--", b"\r\n--Xy", b"x", b" "])
).map(b"".join)
contents = st.one_of(st.binary(max_size=300), near_boundaries).filter(
    lambda data: b"\r\n--XyZ" not in b"\r\n" + data
)
printable = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\%"), max_size=20
)


@st.composite
def forms(draw: st.DrawFn) -> tuple[list[Seen], bytes]:
    expected: list[Seen] = []
    body = b""
    for _ in range(draw(st.integers(0, 4))):
        name = draw(printable)
        disposition = f'form-data; name="{name.replace(chr(34), "%22")}"'
        data = draw(contents)
        if draw(st.booleans()):
            filename = draw(printable)
            disposition += f'; filename="{filename.replace(chr(34), "%22")}"'
            expected.append((name, filename, None, data))
        else:
            data = data.decode("latin-1").encode()
            expected.append((name, data.decode()))
        body += part(disposition, data)
    return expected, body + END


def cut(body: bytes, seed: int) -> list[bytes]:
    """Cut a body at random places, empty pieces included."""
    chooser = random.Random(seed)
    places = sorted(chooser.randint(0, len(body)) for _ in range(chooser.randint(0, 12)))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


@given(forms(), st.integers())
async def test_any_form_reads_back_however_it_is_cut(
    form: tuple[list[Seen], bytes], seed: int
) -> None:
    expected, body = form
    assert await read([body]) == (expected, None)
    assert await read(cut(body, seed)) == (expected, None)
    assert await read([body[n : n + 1] for n in range(len(body))]) == (expected, None)


@st.composite
def damaged_forms(draw: st.DrawFn) -> bytes:
    body = bytearray(draw(forms())[1])
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(body)))
        removed = draw(st.integers(0, 5))
        inserted = draw(
            st.one_of(
                st.binary(max_size=3),
                near_boundaries,
                st.sampled_from([b";", b'"', b"\\", b":", b"\r\n", b"\r\n\r\n", b"--XyZ\r\n", END]),
            )
        )
        body[place : place + removed] = inserted
    return bytes(body)


@given(
    st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(b"--XyZ\r\n".__add__)),
    st.integers(),
)
@example(b"--XyZ\r\n\r\n\r\n--XyZ-\r\r\n--XyZ--", 0)
async def test_random_bytes_are_read_alike_however_they_are_cut(body: bytes, seed: int) -> None:
    whole = await read([body])
    assert await read(cut(body, seed)) == whole


@given(damaged_forms(), st.integers(), st.sampled_from([10, 60, 16384]))
async def test_damaged_forms_are_read_alike_however_they_are_cut(
    body: bytes, seed: int, limit: int
) -> None:
    async def read_limited(chunks: Iterable[bytes]) -> tuple[list[Seen], str | None]:
        return await read(chunks, max_fields=3, max_field_bytes=limit, max_header_bytes=limit)

    whole = await read_limited([body])
    assert await read_limited(cut(body, seed)) == whole
    assert await read_limited(body[n : n + 1] for n in range(len(body))) == whole


@given(st.one_of(st.text(), st.text().map("multipart/form-data;".__add__), st.text(';="\\a- ')))
def test_any_content_type_is_answered(content_type: str) -> None:
    try:
        MultipartStream(content_type, arriving([]))
    except MultipartError as error:
        assert str(error)
