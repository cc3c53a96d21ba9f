"""What one client of the soak does: a visit of each kind, and the judgement of every answer.

Judged are the bytes by sha256, that what was deleted is gone, and that nobody else's work took
anything. Leaves out the client itself and the ways in (visitor.py).
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import socket
import zipfile
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from PIL import ExifTags, Image

from benchmarks.visitor import FIXTURES, SOURCES, Actor, Visitor, wait
from tests.support.client import Answer, expect, multipart
from tests.support.faults.uploader import TUS, collection


class Visits(Visitor):
    """A visitor, and what it does. Each visit raises AssertionError, Unanswered."""

    def __init__(self, url: str, number: int, asked: Callable[[str, str], None]) -> None:
        super().__init__(url, number, asked)
        self.done: dict[str, int] = {}
        self._kinds: dict[str, tuple[int, Callable[[], None]]] = {
            **{"send": (6, self.send), "read": (8, self.read), "find": (4, self.find)},
            **{"pages": (3, self.pages), "zip": (2, self.zip), "change": (3, self.change)},
            **{"share": (2, self.share), "upload link": (1, self.upload_link)},
            **{"trash": (2, self.trash), "move": (1, self.move), "version": (1, self.version)},
            **{"picture": (1, self.picture), "document": (1, self.document)},
            **{"table": (1, self.table), "rows": (1, self.rows), "broken": (2, self.broken)},
            **{"keeping": (1, self.keeping)},
        }

    def visit(self) -> str:
        """One visit of a kind that chance chooses; its name. Raises AssertionError, Unanswered."""
        kinds = list(self._kinds)
        weights = [weight for weight, _ in self._kinds.values()]
        (kind,) = self.chance.choices(kinds, weights)
        self.run(kind)
        return kind

    def run(self, kind: str) -> None:
        """A visit of this kind. Raises AssertionError, Unanswered."""
        try:
            self._kinds[kind][1]()
        except Exception as error:
            error.add_note(f"{self.name}, {kind}")
            raise
        self.done[kind] = self.done.get(kind, 0) + 1
        self._bound()

    @property
    def kinds(self) -> list[str]:
        return list(self._kinds)

    def read(self) -> None:
        """A file's bytes in the ways of HTTP, its record, and a batch."""
        kept = self._one()
        path = f"/-/files/{kept.id}/download"
        whole = self.check(kept)
        tag = whole.headers["etag"]
        head = expect(self.client.request("HEAD", path), 200)
        assert int(head.headers["content-length"]) == kept.size
        self.client.get(path, 304, If_None_Match=tag)
        self.client.get(f"/-/files/{kept.id}/inline")
        if kept.size > 10:
            first = self.chance.randrange(kept.size)
            last = self.chance.randrange(first, kept.size)
            part = self.client.get(path, 206, Range=f"bytes={first}-{last}", If_Range=tag)
            assert part.body == whole.body[first : last + 1], kept
            self.client.get(path, 206, Range="bytes=0-1,5-6")
            self.client.get(path, 416, Range=f"bytes={kept.size}-")
        record = self.client.json(f"/-/files/{kept.id}.json")
        assert record["content_hash"] == f"sha256:{kept.digest}"
        chosen = self._some()
        batch = self.client.json(f"/-/files/batch.json?{urlencode([('id', i) for i in chosen])}")
        assert set(batch["files"]) == set(chosen)
        self.client.json(f"/-/files/{kept.id}/uses.json")

    def find(self) -> None:
        """Searches and lists that must hold the visitor's files, and only them."""
        mine = set(self.files)
        query = urlencode({"uploaded_by": self.name, "versions": "all", "_size": 200})
        found: set[str] = set()
        for source in SOURCES:
            page = self.client.json(f"/-/files/source/{source}.json?{query}")
            found |= {file["id"] for file in page["files"] if file["uploaded_by"] == self.name}
        assert found == mine, found ^ mine
        number = self.name.partition("-")[2]
        self.client.json(f"/-/files/search.json?q=visitor+{number}&source=docs&_sort=-size")
        self.client.json("/-/files/source/docs.json?folder=&_sort=filename")
        self.client.json("/-/files/source/docs.json?tag=form&content_type=image/*")
        self.client.json("/-/files/source/docs.json?unreferenced=1&_size=20")
        self.client.json("/-/files/sources.json")

    def pages(self) -> None:
        """Pages as a browser asks for them."""
        file_id = self._one().id
        addresses: tuple[str, ...] = (
            "",
            "/search?q=visitor",
            "/search?view=grid",
            "/source/docs?folder=",
            "/trash",
        )
        addresses += ("/audit", "/source/docs/usage", "/source/docs/verify", "/source/docs/index")
        addresses += ("/source/docs/settings", "/upload/docs", "/storages", "/storages/list/docs")
        addresses += (f"/{file_id}?uses=1", f"/{file_id}/versions.json", f"/{file_id}/thumbnail")
        for address in self.chance.sample(addresses, 5):
            self.client.get(f"/-/files{address}", Accept="text/html")
        self.client.get("/data/people", Accept="text/html")
        self.client.get(f"/-/files/{file_id}/latest", 302)
        self.client.get(f"/-/files/{file_id}/latest/download", 302)
        self.client.get("/-/files/nothing-here", 404)

    def zip(self) -> None:
        """A zip of some files, whole and in a range; each member is judged."""
        chosen = self._some()
        made = self.client.post("/-/files/-/selection", {"ids": chosen})
        path = urlsplit(made["zip_url"]).path
        self.client.get(path.removesuffix(".zip"), Accept="text/html")
        self._judge_zip(self._zip(self.client, path), chosen)
        self.client.get("/-/files/storages/list/docs.json")
        part = self.client.get(path, 206, Range="bytes=0-3")
        assert part.body == b"PK\x03\x04", part.body

    def _zip(self, client: Actor, path: str) -> bytes:
        def whole() -> Any:
            answer = client.get(path, 200, 202)
            return answer if answer.status == 200 else None

        answer: Answer = wait(whole)
        return answer.body

    def _judge_zip(self, content: bytes, chosen: list[str]) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            digests = [hashlib.sha256(archive.read(one)).hexdigest() for one in archive.namelist()]
        assert sorted(digests) == sorted(self.files[one].digest for one in chosen)

    def change(self) -> None:
        """Name, folder, tags and description of one file, and tags of several."""
        file_id, word = self._one().id, f"word{self.chance.randrange(10**9):09}"
        update = {"tags": [word, "changed"], "folder": f"{self.name}/{word}", "search_text": word}
        changed = self.client.post(f"/-/files/{file_id}/-/update", {"update": update})["file"]
        assert {name: changed[name] for name in update} | {"tags": []} == update | {"tags": []}
        found = self.client.json(f"/-/files/search.json?q={word}")
        assert [file["id"] for file in found["files"]] == [file_id], (word, found)
        chosen = self._some()
        for action in ("tag", "untag"):
            bulk = {"action": action, "selection": {"ids": chosen}, "tags": [word, "bulk"]}
            assert self.client.post("/-/files/-/bulk", bulk)["done"] == len(chosen)

    def share(self) -> None:
        """A link to some files: its page, bytes and zip, and nothing after it is revoked."""
        chosen = self._some()
        made = self.client.post("/-/files/-/share", {"ids": chosen, "expires_in": 600}, 201)
        path = urlsplit(made["share"]["url"]).path
        self.guest.get(path, Accept="text/html")
        kept = self.files[chosen[0]]
        self.guest.get(f"{path}/{kept.id}", Accept="text/html")
        self.guest.get(f"{path}/{kept.id}/thumbnail")
        self.guest.get(f"{path}/{kept.id}/inline")
        body = self.guest.get(f"{path}/{kept.id}/download").body
        assert hashlib.sha256(body).hexdigest() == kept.digest
        self._judge_zip(self._zip(self.guest, f"{path}/zip"), chosen)
        listed = self.client.json(f"/-/files/shares.json?id={kept.id}")["shares"]
        assert made["share"]["id"] in {one["id"] for one in listed}
        self.client.post(f"/-/files/-/share/{made['share']['id']}/revoke", {})
        self.guest.get(path, 404)

    def upload_link(self) -> None:
        """A file by an upload link, in three steps and as a form; revoked afterwards."""
        route = "/-/files/source/docs/-/upload-link"
        made = self.client.post(route, {"expires_in": 600, "max_files": 5}, 201)["upload_link"]
        path, content, name = urlsplit(made["url"]).path, self._content(), self._new_name()
        self.guest.get(path, Accept="text/html")
        prepared = self.guest.post(f"{path}/-/prepare", {"filename": name, "size": len(content)})
        expect(self.guest.send(prepared, content, "application/octet-stream"), 200)
        token = {"upload_token": prepared["upload_token"]}
        assert self.guest.post(f"{path}/-/complete", token, 201) == {"ok": True}
        kind, body = multipart({}, content, f"form {name}", "application/octet-stream")
        headers = {"Content-Type": kind, "Accept": "application/json"}
        expect(self.guest.request("POST", path, body, headers), 201)
        self.client.post(f"/-/files/-/share/{made['id']}/revoke", {})
        self.guest.get(path, 404)
        page = self.client.json(f"/-/files/search.json?q={quote(name)}")
        names = (name, f"form {name}")
        sent = [file["id"] for file in page["files"] if file["filename"] in names]
        assert len(sent) == 2, page
        for one in sent:
            record = self.client.json(f"/-/files/{one}.json")
            assert record["upload_link"] == made["id"]
            self.check(self.files[self._keep(record, content)])
        self._drop(sent)

    def trash(self) -> None:
        """Into the trash, back, and for good."""
        kept = self._one()
        self._leaving.add(kept.id)
        if self.chance.random() < 0.5:
            expect(self.client.delete(kept.id), 204)
        else:
            self.client.post(f"/-/files/{kept.id}/-/delete", {})
        self.client.get(f"/-/files/{kept.id}/download", 404)
        listed = self.client.json("/-/files/trash.json?source=docs&_size=200")["files"]
        listed += self.client.json("/-/files/trash.json?source=shelf&_size=200")["files"]
        assert kept.id in {file["id"] for file in listed}, kept
        self.client.get(f"/-/files/trash/{kept.id}/thumbnail")
        self.client.post("/-/files/trash/-/restore", {"ids": [kept.id]})
        self.check(kept)
        self._drop([kept.id])

    def move(self) -> None:
        """To the other source and back; the id and the bytes stay."""
        kept = self._one()
        here = self.client.json(f"/-/files/{kept.id}.json")["source_slug"]
        (there,) = set(SOURCES) - {here}
        for target in (there, here) if self.chance.random() < 0.5 else (there,):
            bulk = {"action": "move", "selection": {"ids": [kept.id]}, "to": target}
            done = self.client.post("/-/files/-/bulk", bulk)
            assert done["done"] == 1, done
            assert self.client.json(f"/-/files/{kept.id}.json")["source_slug"] == target
            self.check(kept)

    def version(self) -> None:
        """A next version, and the first one restored as the newest."""
        first, second = self._content(), self._content()
        old = self._keep(self._raw(self._new_name(), first), first)
        path = f"/-/files/upload/docs/{quote(self._new_name())}?replaces={old}"
        answer = expect(self.client.request("PUT", path, second), 201)
        new = self._keep(answer.json()["file"], second)
        assert self.client.get(f"/-/files/{old}/latest", 302).headers["location"].endswith(new)
        restored = self.client.post(f"/-/files/{old}/-/restore-version", {}, 201)["file"]
        newest = self._keep(restored, first)
        listed = self.client.json(f"/-/files/{old}/versions.json")["versions"]
        assert [one["id"] for one in listed] == [newest, new, old], listed
        self.client.get(f"/-/files/{newest}/rows", Accept="text/html")
        assert self.client.post(f"/-/files/{newest}/-/rows", {})["updated"] == 0
        for one in (old, new, newest):
            self.check(self.files[one])
        self._drop([old, new, newest])

    def picture(self) -> None:
        """A photo of a phone: its thumbnails, its facts, and its bytes without the place."""
        content = (FIXTURES / "photos/phone.jpg").read_bytes() + self.chance.randbytes(20)
        file_id = self._keep(self._raw(self._new_name("jpg"), content), content)

        def drawn() -> bool:
            answer = self.client.get(f"/-/files/{file_id}/thumbnail?w=800")
            return answer.headers["content-type"] in ("image/jpeg", "image/webp")

        wait(drawn)
        self.client.get(f"/-/files/{file_id}/thumbnail", Accept="image/webp")
        self.client.get(f"/-/files/{file_id}", Accept="text/html")
        self.client.get(f"/-/files/{file_id}/inline/photo.jpg")
        stripped = self.client.get(f"/-/files/{file_id}/download?stripped=1").body
        with Image.open(io.BytesIO(stripped)) as image:
            assert not image.getexif().get_ifd(ExifTags.IFD.GPSInfo), file_id
        # A link shows it without the place, so as other bytes than those that are kept.
        self._drop([file_id])

    def document(self) -> None:
        """A text and a PDF: their text is extracted; the word of the text is found."""
        word = f"soaked{self.chance.randrange(10**9):09}"
        text = f"First line\n\nthe {word} stands here\n".encode() * self.chance.choice((1, 500))
        pdf = (FIXTURES / "documents/one-page.pdf").read_bytes() + f"% {word}\n".encode()
        for content, ending in ((text, "txt"), (pdf, "pdf")):
            file_id = self._keep(self._raw(self._new_name(ending), content), content)

            def read(file_id: str = file_id) -> bool:
                record = self.client.json(f"/-/files/{file_id}.json")
                assert record["text_status"] != "failed", record
                return bool(record["text_status"] != "pending")

            wait(read)
            if ending == "txt":
                hits = self.client.json(f"/-/files/{file_id}/text.json?q={word}")["hits"]
                assert hits, file_id
                found = self.client.json(f"/-/files/search.json?q={word}")["files"]
                assert [file["id"] for file in found] == [file_id], found
                self.client.json(f"/-/files/{file_id}/text.json?texts=1")
            self.client.get(f"/-/files/{file_id}", Accept="text/html")

    def table(self) -> None:
        """A CSV becomes a table, and a live one; both have all rows. The table is dropped."""
        rows = self.chance.choice((10, 1_000, 9_000))
        lines = (f"{n},name {n},{self.chance.random():.4f}" for n in range(rows))
        content = ("id,name,value\n" + "\n".join(lines) + "\n").encode()
        file_id = self._keep(self._raw(self._new_name("csv"), content), content)
        table, path = f"t_{self.name.replace('-', '_')}", f"/-/files/import/{file_id}"
        self.client.get(path, 200, 408, Accept="text/html")  # slow where the machine is busy
        fields = {"database_name": "data", "table_name": table, "mode": "create"}
        begun = self.client.form(path, fields, 302)
        address = urlsplit(begun.headers["location"]).path
        job = self._job(address)
        assert job["row_count"] == rows, job
        self.client.get(address, Accept="text/html")
        shown = self.client.json(f"/data/{table}.json?_extra=count&_size=1")
        assert shown["count"] == rows, shown
        self.client.post(f"/data/{table}/-/drop", {"confirm": True})
        self.client.get(f"/-/files/{file_id}/tables.json", 200, 408)
        opened = self.client.post(f"/-/files/{file_id}/-/open", {}, 200, 202)
        url = opened["url"] if "url" in opened else self._job(opened["job"]["url"])["url"]
        (live,) = self.client.json(f"/-/files/{file_id}/tables.json")["tables"]
        asked = urlencode({"sql": f'select count(*) as n from "{live["name"]}"'})
        answer = self.client.json(f"{urlsplit(url).path}/-/query.json?{asked}")
        assert answer["rows"] == [{"n": rows}], answer
        self._drop([file_id])

    def rows(self) -> None:
        """A row that holds a file: its page, its cells, its zip; then without the file."""
        kept = self._one()
        row = {"name": self.name, "photo": kept.id, "papers": json.dumps(self._some())}
        made = self.client.post("/data/people/-/insert", {"row": row, "return": True}, 201)
        key = made["rows"][0]["id"]
        page = self.client.get(f"/data/people/{key}", Accept="text/html").body.decode()
        assert kept.id in page
        self.client.json(f"/data/people.files?id={key}")
        self.client.get(f"/data/people.gallery?id={key}", 200, 302, Accept="text/html")
        zipped = self.client.get(f"/data/people.zip?id={key}", 200, 302)
        self._zip(self.client, urlsplit(zipped.headers["location"]).path)
        self.client.post(f"/data/people/{key}/-/delete", {})

    def broken(self) -> None:
        """Uploads that lie, stop or are left alone, and links that nobody made."""
        content = self.chance.randbytes(20_000)
        route = f"/-/files/upload/docs/{quote(self._new_name())}"
        wrong = {"Repr-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}
        expect(self.client.request("PUT", route, content, wrong), 422)
        expect(self.client.prepare("docs", "large.bin", size=1 << 40), 413)
        prepared = expect(self.client.prepare("docs", "left.bin", size=5), 200).json()
        expect(self.client.send(prepared, b"six by", "text/plain"), 400)
        expect(self.client.complete("docs", prepared["upload_token"]), 409)
        expect(self.client.request("OPTIONS", collection("docs")), 204)
        headers = {**TUS, "Upload-Length": "9", "Upload-Metadata": "filename bGVmdA=="}
        begun = expect(self.client.request("POST", collection("docs"), b"", headers), 201)
        tus = urlsplit(begun.headers["location"]).path
        override = {**TUS, "X-HTTP-Method-Override": "HEAD"}
        expect(self.client.request("POST", tus, b"", override), 200)
        expect(self.client.request("DELETE", tus, None, TUS), 204)
        with socket.create_connection(self.client.place) as cut:
            head = f"PUT {route} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
            cut.sendall(head.encode() + content)
        with socket.create_connection(self.client.place) as cut:
            cut.sendall(f"GET /-/files/{self._one().id}/download HTTP/1.1\r\nHost: x\r\n".encode())
        self.guest.get("/-/files/s/nobodys", 404)
        expect(self.client.post_json("/-/files/-/bulk", {"action": "nothing"}), 400)

    def keeping(self) -> None:
        """What a source's manager looks at, and a walk and a pass of verification."""
        docs = "/-/files/source/docs"
        for address in ("usage", "verify", "settings", "index"):
            self.client.json(f"{docs}/{address}.json")
        self.client.json("/-/files/storages.json")
        self.client.json("/-/files/audit.json?source=docs")
        self.client.get(f"/-/files/audit.csv?actor={self.name}")
        self.client.json(f"{docs}/manifest.json?_size=20")
        self.client.get(f"{docs}/manifest.txt")
        self.client.post(f"{docs}/settings/-/update", {"settings": {"label": self.name}})
        self.client.post(f"{docs}/settings/-/reset", {})
        begun = self.client.post_json(f"{docs}/verify/-/start", {"data": True})
        if expect(begun, 202, 409).status == 202:  # one pass at a time
            self._job(begun.json()["job"]["url"])
        self.client.post_json(f"{docs}/index/-/start", {})
