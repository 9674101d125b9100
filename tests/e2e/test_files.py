"""The Files API in plain HTTP: forms of every order, names of every kind, lists, and what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from attrs import evolve

from proxy.config import Auth, Secret
from tests.e2e.files_setup import (
    BOUNDARY,
    END,
    FORM,
    LARGEST,
    Client,
    ServeConfig,
    connected,
    field,
    form,
    keeping,
    refused,
    stored,
)
from tests.support.gateway import GatewayThread
from tests.support.waiting import until


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def gateway(serve_config: ServeConfig, data: Path) -> GatewayThread:
    return serve_config(keeping(data, max_file=LARGEST, limits={"body_timeout": 0.6}))


@pytest.fixture
def client(gateway: GatewayThread) -> Iterator[Client]:
    with connected(gateway, "sk-one") as client:
        yield client


def test_a_file_is_kept_listed_read_and_deleted(client: Client, data: Path):
    before = int(time.time())
    kept = client.keep(b"some bytes", "notes.txt", purpose="assistants")
    assert kept["created_at"] in range(before, int(time.time()) + 1)
    assert kept == {
        "id": kept["id"],
        "object": "file",
        "bytes": 10,
        "created_at": kept["created_at"],
        "filename": "notes.txt",
        "purpose": "assistants",
        "status": "processed",
    }
    assert kept["id"].startswith("file-") and len(kept["id"]) == 5 + 32
    assert client.get(f"/v1/files/{kept['id']}").json == kept
    assert client.get("/v1/files").json == {
        "object": "list",
        "data": [kept],
        "first_id": kept["id"],
        "last_id": kept["id"],
        "has_more": False,
    }
    assert client.content(kept["id"]) == b"some bytes"
    assert stored(data) == [kept["id"]]
    gone = client.ask("DELETE", f"/v1/files/{kept['id']}")
    assert gone.json == {"id": kept["id"], "object": "file", "deleted": True}
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        message = refused(client.ask(method, f"/v1/files/{kept['id']}{path}"), 404, "id")
        assert message == f"No such File object: {kept['id']}"
    assert client.get("/v1/files").json["data"] == []
    until(lambda: stored(data) == [], "the bytes are gone")


def test_nothing_is_made_before_there_is_something_to_keep(client: Client, data: Path):
    assert client.get("/v1/files/file-1").status == 404
    assert client.ask("POST", "/v1/files", b"{}").status == 400
    assert not data.exists()


PURPOSE, FILE = (
    field("purpose", "vision"),
    field("file", b"\x00\xff" * 50_000, "x.png", "Content-Type: image/png"),
)
UNKNOWN = field("x", "y" * 60_000)


@pytest.mark.parametrize("parts", [(PURPOSE, FILE), (FILE, PURPOSE), (UNKNOWN, FILE, PURPOSE, UNKNOWN)])
def test_parts_come_in_any_order(client: Client, parts: tuple[bytes, ...]):
    reply = client.upload(b"".join(parts) + END)
    assert reply.status == 200, reply.body
    assert reply.json["purpose"] == "vision"
    assert client.content(reply.json["id"]) == b"\x00\xff" * 50_000


def test_a_form_may_come_in_chunks_and_slowly(client: Client):
    client.raw.send(
        b"POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer sk-one\r\n"
        + f"Content-Type: {FORM['Content-Type']}\r\n\r\n".encode()
    )
    body = form(b"slow" * 20)
    edges = [*range(0, len(body) - 2, 40), len(body) - 2, len(body)]
    for piece in (body[start:stop] for start, stop in pairwise(edges)):
        client.raw.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        time.sleep(0.005)
    client.raw.send(b"0\r\n\r\n")
    reply = client.raw.reply()
    assert client.content(reply.json["id"]) == b"slow" * 20


def test_an_empty_file_is_a_file(client: Client):
    kept = client.keep(b"")
    assert kept["bytes"] == 0
    assert client.content(kept["id"]) == b""


NAMES = [
    *(
        "a.txt",
        "ünïcödé 🍦.txt",
        "../../etc/passwd",
        "..",
        ".",
        "/",
        "C:\\x\\y",
        "a/b/c",
        "~",
        "-rf",
        "con",
        "a\tb",
    ),
    *(
        "x" * 255 + ".txt",
        "n" * 512,
        "日" * 512,
        "  ",
        "%2e%2e%2f",
        "a%00b",
        "<script>.html",
        "'; DROP TABLE",
        "\u202etxt.exe",
    ),
    *(
        "line\nbreak",
        "carriage\rreturn",
        "\x00nul",
        "\x1b[31m",
        "\u2028",
        "\ufeff",
        "a;filename=b",
        "a=b",
        "file-1",
    ),
]


def test_a_name_comes_back_as_it_was_and_names_no_path(client: Client, data: Path, tmp_path: Path):
    kept = [client.keep(name.encode(), name) for name in NAMES]
    assert [one["filename"] for one in kept] == NAMES
    for name, one in zip(NAMES, kept, strict=True):
        reply = client.get(f"/v1/files/{one['id']}/content")
        assert reply.body == name.encode()
        told = reply.headers["content-disposition"]
        assert told.isascii() and told.isprintable() and told.startswith('attachment; filename="')
        saved = unquote(told.partition("filename*=UTF-8''")[2])
        assert not set(saved) & set("/\\\0\r\n") and not saved.startswith(".") and saved
    assert stored(data) == sorted(one["id"] for one in kept)
    outside = {path.name for path in tmp_path.iterdir()} | {path.name for path in data.iterdir()}
    assert outside == {"data", "files"} | {name for name in outside if name.startswith("deltawire.db")}


def test_two_files_may_have_one_name(client: Client):
    one, two = client.keep(b"one", "same"), client.keep(b"two", "same")
    assert one["id"] != two["id"]
    assert (client.content(one["id"]), client.content(two["id"])) == (b"one", b"two")


@pytest.mark.parametrize("filename", [None, ""])
def test_a_file_without_a_name_gets_one(client: Client, filename: str | None):
    assert client.keep(b"x", filename)["filename"] == "upload"


def test_a_name_that_is_a_book_is_refused(client: Client, data: Path):
    refused(client.upload(form(b"x", "n" * 513)), 400, "file")
    until(lambda: stored(data) == [], "nothing is kept")


REFUSED = [
    (END, "file"),
    (field("purpose", "user_data") + END, "file"),
    (field("file", b"x", "x") + END, "purpose"),
    (field("purpose", "") + field("file", b"x", "x") + END, "purpose"),
    (form(purpose="fun"), "purpose"),
    (form(purpose="assistants_output"), "purpose"),
    (form(**{"expires_after[anchor]": "created_at"}), "expires_after.seconds"),
    (form(**{"expires_after[seconds]": "3600"}), "expires_after.anchor"),
    (form(**{"expires_after[anchor]": "now", "expires_after[seconds]": "3600"}), "expires_after.anchor"),
    *(
        (
            form(**{"expires_after[anchor]": "created_at", "expires_after[seconds]": seconds}),
            "expires_after.seconds",
        )
        for seconds in ("3599", "2592001", "-3600", "3600.0", "x", "", "1e4", "٣٦٠٠", "9" * 5000)
    ),
    (form()[: -len(END)] + field("file", b"y", "y") + END, "file"),
    (form()[: -len(END)], None),
    (form()[:-8], None),
    (form().replace(BOUNDARY.encode(), b"another"), None),
    (field("purpose", "x" * 70_000) + END, None),
    (b"{}", None),
    (b"", None),
    (form() + b"x" * 5000, None),
]


@pytest.mark.parametrize(("body", "param"), REFUSED, ids=range(len(REFUSED)))
def test_a_form_that_is_not_right_is_refused_and_leaves_nothing(
    client: Client, data: Path, body: bytes, param: str | None
):
    refused(client.upload(body), 400, param)
    until(lambda: stored(data) == [], "nothing is kept")
    assert client.get("/v1/files").json["data"] == []


def test_what_is_no_form_is_refused(client: Client, data: Path):
    for kind in ("application/json", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 71):
        refused(client.ask("POST", "/v1/files", form(), {"Content-Type": kind}), 400, None, "invalid_form")
    assert not data.exists()


def test_a_key_is_asked_for_where_there_are_keys(serve_config: ServeConfig, data: Path):
    gateway = serve_config(evolve(keeping(data), auth=Auth((Secret("sk-one"),))))
    with connected(gateway, "sk-wrong") as stranger, connected(gateway, "sk-one") as client:
        assert stranger.upload(form()).status == 401
        assert not data.exists()
        assert client.keep()["bytes"] == 5
        assert stranger.get("/v1/files").status == 401


def test_lists_are_leafed_through(client: Client):
    kept = [client.keep(str(number).encode(), purpose=("batch", "vision")[number % 2]) for number in range(5)]
    ids = [one["id"] for one in kept]
    newest = ids[::-1]

    def listed(query: str) -> tuple[list[str], bool]:
        page = client.get(f"/v1/files{query}").json
        found = [one["id"] for one in page["data"]]
        assert (page["first_id"], page["last_id"]) == ((found[0], found[-1]) if found else (None, None))
        return found, page["has_more"]

    assert listed("") == (newest, False)
    assert listed("?order=asc") == (ids, False)
    assert listed("?limit=2") == (newest[:2], True)
    assert listed(f"?limit=2&after={newest[1]}") == (newest[2:4], True)
    assert listed(f"?limit=2&after={newest[3]}") == (newest[4:], False)
    assert listed(f"?order=asc&limit=10000&after={ids[2]}") == (ids[3:], False)
    assert listed("?purpose=vision&order=asc") == (ids[1::2], False)
    assert listed("?purpose=vision&order=asc&limit=1") == (ids[1:2], True)
    assert listed("?purpose=evals") == ([], False)
    assert listed("?purpose=no-such-purpose") == ([], False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *(
            (f"limit={limit}", "limit")
            for limit in ("0", "10001", "-1", "x", "", "1.5", "99999999999999999999")
        ),
        ("order=up", "order"),
        ("after=file-unknown", "after"),
        ("after=" + "x" * 300, "after"),
        ("after=a%00b", "after"),
    ],
)
def test_a_list_that_cannot_be_is_refused(client: Client, query: str, param: str):
    client.keep()
    refused(client.get(f"/v1/files?{query}"), 400, param)


IDS = [
    "x",
    "file-",
    "file-1",
    "file-" + "0" * 32,
    "file-" + "A" * 32,
    "file-" + "0" * 33,
    "..%2f..%2fetc",
    "%2e%2e",
]
IDS += ["a%00b", "%0d%0aX:%20y", "file-%F0%9F%8D%A6", "'--", "x" * 2000, "%ff%fe", "<b>"]


@pytest.mark.parametrize("id", IDS)
def test_what_is_not_there_is_not_there_whatever_its_name(client: Client, id: str):
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        reply = client.ask(method, f"/v1/files/{id}{path}")
        assert reply.status == 404
        assert reply.json["error"]["code"] in (None, "unknown_url")


def test_json_is_what_lists_are_made_of(client: Client):
    client.keep(b"x", "\u2028\x85.txt")
    raw = client.get("/v1/files").body
    assert b"\\u2028\\u0085" in raw
    assert json.loads(raw)["data"][0]["filename"] == "\u2028\x85.txt"
