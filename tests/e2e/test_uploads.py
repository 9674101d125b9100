"""The Uploads API in plain HTTP: parts in any order, what is refused, what is left, and who comes first."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.stores.expiry import Expiry
from tests.e2e.files_setup import (
    END,
    FORM,
    Client,
    ServeConfig,
    connected,
    field,
    keeping,
    refused,
    stored,
)
from tests.support.gateway import GatewayThread
from tests.support.raw import Reply
from tests.support.waiting import until

UNKNOWN = "upload_" + "0" * 32


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def gateway(serve_config: ServeConfig, data: Path) -> GatewayThread:
    return serve_config(keeping(data, max_file=100_000, quota=150_000))


@pytest.fixture
def client(gateway: GatewayThread) -> Iterator[Client]:
    with connected(gateway, "sk-one") as client:
        yield client


def wanted(size: int = 10, **changes: Any) -> dict[str, Any]:
    told = {"filename": "a.bin", "purpose": "user_data", "bytes": size, "mime_type": "text/plain", **changes}
    return {name: value for name, value in told.items() if value is not ...}


def begin(client: Client, size: int = 10, **changes: Any) -> dict[str, Any]:
    reply = client.post("/v1/uploads", wanted(size, **changes))
    assert reply.status == 200, reply.body
    document: dict[str, Any] = reply.json
    return document


def bring(client: Client, upload: str, data: bytes) -> Reply:
    return client.ask("POST", f"/v1/uploads/{upload}/parts", field("data", data, "blob") + END, FORM)


def part(client: Client, upload: str, data: bytes) -> str:
    reply = bring(client, upload, data)
    assert reply.status == 200, reply.body
    id: str = reply.json["id"]
    return id


def complete(client: Client, upload: str, *parts: str, **more: Any) -> Reply:
    return client.post(f"/v1/uploads/{upload}/complete", {"part_ids": list(parts), **more})


def cancel(client: Client, upload: str) -> Reply:
    return client.ask("POST", f"/v1/uploads/{upload}/cancel")


def test_parts_become_a_file_in_the_order_in_which_they_are_named(client: Client, data: Path):
    upload = begin(client, expires_after={"anchor": "created_at", "seconds": 3600})
    assert upload == {
        "id": upload["id"],
        "object": "upload",
        "bytes": 10,
        "created_at": upload["created_at"],
        "expires_at": upload["created_at"] + 3600,
        "filename": "a.bin",
        "purpose": "user_data",
        "status": "pending",
    }
    assert upload["id"].startswith("upload_")
    later, _, first = (part(client, upload["id"], piece) for piece in (b"world", b"unused", b"hello"))
    told = bring(client, upload["id"], b"x").json
    assert told == {
        "id": told["id"],
        "object": "upload.part",
        "created_at": told["created_at"],
        "upload_id": upload["id"],
    }
    done = complete(client, upload["id"], first, later).json
    file = done.pop("file")
    assert done == {**upload, "status": "completed"}
    assert (file["filename"], file["bytes"], file["purpose"]) == ("a.bin", 10, "user_data")
    assert file["expires_at"] == file["created_at"] + 3600
    assert client.get(f"/v1/files/{file['id']}").json == file
    assert client.content(file["id"]) == b"helloworld"
    until(lambda: stored(data) == [file["id"]], "the parts are gone, the unused ones as well")


def test_an_empty_file_needs_no_part(client: Client):
    done = complete(client, begin(client, 0)["id"]).json
    assert client.content(done["file"]["id"]) == b""


def test_a_digest_is_checked(client: Client, data: Path):
    upload = begin(client, 5)["id"]
    piece = part(client, upload, b"hello")
    digest = hashlib.md5(b"hello", usedforsecurity=False).hexdigest()
    refused(complete(client, upload, piece, md5=digest[::-1]), 400, "md5")
    until(lambda: stored(data) == [piece], "only the part is kept")
    assert complete(client, upload, piece, md5=digest.upper()).json["status"] == "completed"


REFUSED = [
    *(({name: ...}, name) for name in ("filename", "purpose", "bytes", "mime_type")),
    *(({name: None}, name) for name in ("filename", "purpose", "bytes", "mime_type")),
    *(({"filename": name}, "filename") for name in ("", "n" * 513, 5)),
    *(({"purpose": purpose}, "purpose") for purpose in ("fun", 5, "")),
    *(({"bytes": size}, "bytes") for size in (-1, 1.5, "10", True)),
    *(({"mime_type": mime}, "mime_type") for mime in ("", "m" * 513, {})),
    ({"expires_after": "never"}, "expires_after"),
    ({"expires_after": {"anchor": "created_at"}}, "expires_after.seconds"),
    ({"expires_after": {"anchor": "x", "seconds": 3600}}, "expires_after.anchor"),
    ({"expires_after": {"anchor": "created_at", "seconds": 3599}}, "expires_after.seconds"),
]


@pytest.mark.parametrize(("changes", "param"), REFUSED, ids=range(len(REFUSED)))
def test_a_wish_that_is_not_right_is_refused(client: Client, changes: dict[str, Any], param: str):
    refused(client.post("/v1/uploads", wanted(**changes)), 400, param)


def test_there_is_a_largest_file_and_a_quota(client: Client):
    refused(client.post("/v1/uploads", wanted(100_001)), 413, "bytes", "request_too_large")
    client.keep(b"x" * 100_000)
    refused(client.post("/v1/uploads", wanted(50_001)), 413, None, "quota_exceeded")
    upload = begin(client, 50_000)["id"]
    first = part(client, upload, b"x" * 30_000)
    refused(bring(client, upload, b"x" * 20_001), 413, None, "quota_exceeded")
    second = part(client, upload, b"x" * 20_000)
    done = complete(client, upload, first, second).json  # the parts make room for what they become
    assert done["file"]["bytes"] == 50_000
    refused(
        client.upload(field("purpose", "evals") + field("file", b"x", "x") + END), 413, None, "quota_exceeded"
    )


def test_a_part_has_no_more_bytes_than_the_file(client: Client):
    upload = begin(client, 10)["id"]
    refused(bring(client, upload, b"x" * 11), 413, "data", "request_too_large")
    assert bring(client, upload, b"x" * 10).status == 200


def test_a_form_without_its_part_is_refused(client: Client, data: Path):
    upload = begin(client)["id"]
    path = f"/v1/uploads/{upload}/parts"
    for body, param in (
        (END, "data"),
        (field("date", b"x", "x") + END, "data"),
        (field("data", b"x", "x") * 2 + END, "data"),
        (field("data", b"x", "x"), None),
    ):
        refused(client.ask("POST", path, body, FORM), 400, param)
    refused(client.ask("POST", path, b"{}", {"Content-Type": "application/json"}), 400, None)
    until(lambda: stored(data) == [], "nothing is kept")
    assert client.ask("POST", path, field("x", "y") + field("data", b"x") + END, FORM).status == 200


def test_parts_that_are_not_right_are_refused(client: Client):
    upload, other = begin(client)["id"], begin(client)["id"]
    one, two = part(client, upload, b"hello"), part(client, upload, b"world")
    foreign = part(client, other, b"world")
    refused(complete(client, upload, one, foreign), 400, "part_ids[1]")
    refused(complete(client, upload, one, "part_0"), 400, "part_ids[1]")
    refused(complete(client, upload, one, one), 400, "part_ids")
    assert "5 bytes" in refused(complete(client, upload, one), 400, "part_ids")
    path = f"/v1/uploads/{upload}/complete"
    refused(client.post(path, {}), 400, "part_ids")
    refused(client.post(path, {"part_ids": "x"}), 400, "part_ids")
    refused(client.post(path, {"part_ids": [5]}), 400, "part_ids[0]")
    refused(client.post(path, {"part_ids": [one, two], "md5": 5}), 400, "md5")
    assert complete(client, upload, one, two).status == 200


def test_what_was_done_is_told_again_and_nothing_else_can_be_done(client: Client):
    upload = begin(client)["id"]
    one, two = part(client, upload, b"hello"), part(client, upload, b"world")
    done = complete(client, upload, one, two)
    again = complete(client, upload, one, two)
    assert again.json == done.json
    for reply in (complete(client, upload, two, one), cancel(client, upload), bring(client, upload, b"x")):
        refused(reply, 400, None, "upload_completed")
    client.ask("DELETE", f"/v1/files/{done.json['file']['id']}")
    refused(complete(client, upload, one, two), 404, "id")


def test_what_is_given_up_is_gone(client: Client, data: Path):
    upload = begin(client)["id"]
    one = part(client, upload, b"helloworld")
    assert cancel(client, upload).json["status"] == "cancelled"
    assert cancel(client, upload).json["status"] == "cancelled"
    for reply in (complete(client, upload, one), bring(client, upload, b"x")):
        refused(reply, 400, None, "upload_cancelled")
    until(lambda: stored(data) == [], "nothing is left")


@pytest.mark.parametrize("id", [UNKNOWN, "x", "%2e%2e", "part_1", "x" * 3000, "%00", "%ff"])
def test_what_is_not_there(client: Client, id: str):
    for reply in (bring(client, id, b"x"), complete(client, id), cancel(client, id)):
        assert reply.status == 404
        assert reply.json["error"]["code"] in (None, "unknown_url")


def at(gateway: GatewayThread, seconds: float) -> None:
    """So much later, for everything in the gateway that asks what time it is."""
    core = gateway.serving.gateway
    core.storage.store._store.clock = core.files.intakes.clock = lambda: time.time() + seconds


def test_an_upload_expires_after_an_hour(client: Client, gateway: GatewayThread, data: Path):
    upload = begin(client)["id"]
    one = part(client, upload, b"helloworld")
    at(gateway, 3601)
    for reply in (complete(client, upload, one), bring(client, upload, b"x"), cancel(client, upload)):
        refused(reply, 400, None, "upload_expired")
    at(gateway, 25 * 3600 + 1)
    assert cancel(client, upload).status == 404


def test_what_expires_is_swept_away_with_its_bytes(client: Client, gateway: GatewayThread, data: Path):
    upload = begin(client)["id"]
    part(client, upload, b"helloworld")
    told = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    kept, lasting = client.keep(**told), client.keep()
    storage = gateway.serving.gateway.storage
    at(gateway, 26 * 3600)
    expiry = Expiry(storage.store, storage.blobs, lambda: time.time() + 26 * 3600)
    assert gateway.call(expiry.sweep) == 3
    assert stored(data) == [lasting["id"]]
    assert client.get(f"/v1/files/{kept['id']}").status == 404


def together(gateway: GatewayThread, *calls: Callable[[Client], Reply]) -> list[Reply]:
    """All at once, each by a thread and a connection of its own."""
    replies: list[Reply] = []

    def do(call: Callable[[Client], Reply]) -> None:
        with connected(gateway, "sk-one") as client:
            replies.append(call(client))

    threads = [threading.Thread(target=do, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(replies) == len(calls)
    return replies


@pytest.mark.parametrize("_", range(5))
def test_of_many_who_complete_or_give_up_one_wins(client: Client, gateway: GatewayThread, data: Path, _: int):
    upload = begin(client)["id"]
    one = part(client, upload, b"helloworld")
    completing = [lambda client: complete(client, upload, one)] * 3
    replies = together(gateway, *completing, lambda client: cancel(client, upload))
    assert {reply.status for reply in replies} <= {200, 400, 409}
    [outcome] = {reply.json["status"] for reply in replies if reply.status == 200}
    files = client.get("/v1/files").json["data"]
    assert len(files) == (outcome == "completed")
    for file in files:
        assert client.content(file["id"]) == b"helloworld"
    until(lambda: stored(data) == [file["id"] for file in files], "nothing else is left")
