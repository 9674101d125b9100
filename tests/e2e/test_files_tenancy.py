"""Three keys, every route that is about files, in any order: nobody ever sees anything of another's.

What a key may see is a dictionary here. What belongs to another is answered with the very bytes with which the
gateway answers for what never was.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from tests.e2e.files_setup import END, FORM, Client, connected, field, form, keeping
from tests.support.gateway import GatewayThread
from tests.support.raw import Reply

KEYS = ("sk-one", "sk-two", "")
WHO = st.sampled_from(range(len(KEYS)))
DATA = st.binary(max_size=40)


class Tenants(RuleBasedStateMachine):
    gateway: GatewayThread
    """One for all runs: what other runs left belongs to keys that are not used again."""
    runs = 0

    files = Bundle("files")
    uploads = Bundle("uploads")
    parts = Bundle("parts")

    def __init__(self) -> None:
        super().__init__()
        Tenants.runs += 1
        self.open = ExitStack()
        keys = [f"{key}-{Tenants.runs}" for key in KEYS[:2]] + [f"sk-other-{Tenants.runs}"]
        self.clients: list[Client] = [self.open.enter_context(connected(self.gateway, key)) for key in keys]
        self.kept: dict[str, tuple[int, dict[str, Any], bytes]] = {}
        self.begun: dict[str, tuple[int, bytes, str]] = {}
        """The owner of an upload, what it is to hold, and its state."""
        self.brought: dict[str, tuple[str, bytes]] = {}

    def teardown(self) -> None:
        self.open.close()

    def missing(self, who: int, method: str, path: str, id: str, body: bytes = b"", **headers: str) -> bytes:
        """What is said about an id that never was, with that id put in."""
        never = re.sub(r"(?<=[-_]).*", "f" * 32, id)
        reply = self.clients[who].ask(method, path.replace("ID", never), body, headers)
        assert reply.status == 404
        return reply.body.replace(never.encode(), id.encode())

    def ask(
        self, who: int, owner: int | None, method: str, path: str, id: str, body: bytes = b"", **headers: str
    ) -> Reply | None:
        """The answer to the owner; anybody else must hear what would be heard of nothing."""
        reply = self.clients[who].ask(method, path.replace("ID", id), body, headers)
        if owner == who:
            return reply
        assert reply.status == 404
        assert reply.body == self.missing(who, method, path, id, body, **headers)
        return None

    def owner(self, id: str) -> int | None:
        return self.kept[id][0] if id in self.kept else None

    @rule(target=files, who=WHO, data=DATA, purpose=st.sampled_from(["batch", "evals"]))
    def keep(self, who: int, data: bytes, purpose: str) -> str:
        reply = self.clients[who].upload(form(data, f"of-{who}", purpose=purpose))
        assert reply.status == 200
        self.kept[reply.json["id"]] = (who, reply.json, data)
        return str(reply.json["id"])

    @rule(who=WHO, id=files)
    def look_up(self, who: int, id: str) -> None:
        reply = self.ask(who, self.owner(id), "GET", "/v1/files/ID", id)
        if reply is not None:
            assert reply.json == self.kept[id][1]

    @rule(who=WHO, id=files)
    def read(self, who: int, id: str) -> None:
        reply = self.ask(who, self.owner(id), "GET", "/v1/files/ID/content", id)
        if reply is not None:
            assert reply.body == self.kept[id][2]

    @rule(who=WHO, id=files)
    def delete(self, who: int, id: str) -> None:
        reply = self.ask(who, self.owner(id), "DELETE", "/v1/files/ID", id)
        if reply is not None:
            assert reply.json == {"id": id, "object": "file", "deleted": True}
            del self.kept[id]

    @rule(who=WHO, purpose=st.sampled_from(["", "batch", "vision"]), order=st.sampled_from(["asc", "desc"]))
    def leaf(self, who: int, purpose: str, order: str) -> None:
        mine = [one for owner, one, _ in self.kept.values() if owner == who]
        wanted = [one for one in mine if purpose in ("", one["purpose"])]
        found: list[Any] = []
        after = ""
        while True:
            page = self.clients[who].get(f"/v1/files?limit=2&order={order}&purpose={purpose}{after}").json
            found += page["data"]
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        assert found == (wanted if order == "asc" else wanted[::-1])

    @rule(who=WHO, id=files)
    def leaf_behind_a_strange_file(self, who: int, id: str) -> None:
        reply = self.clients[who].get(f"/v1/files?after={id}")
        assert reply.status == (200 if self.owner(id) == who else 400)

    @rule(target=uploads, who=WHO, data=DATA)
    def begin(self, who: int, data: bytes) -> str:
        told = {"filename": "u", "purpose": "evals", "bytes": len(data), "mime_type": "a/b"}
        reply = self.clients[who].post("/v1/uploads", told)
        assert reply.status == 200
        self.begun[reply.json["id"]] = (who, data, "pending")
        return str(reply.json["id"])

    @rule(target=parts, who=WHO, id=uploads, whole=st.booleans())
    def bring(self, who: int, id: str, whole: bool) -> Any:
        owner, data, state = self.begun[id]
        body = field("data", data if whole else data[:1], "p") + END
        reply = self.ask(who, owner, "POST", "/v1/uploads/ID/parts", id, body, **FORM)
        if reply is None:
            return multiple()
        assert reply.status == (200 if state == "pending" else 400)
        if reply.status != 200:
            return multiple()
        self.brought[reply.json["id"]] = (id, data if whole else data[:1])
        return reply.json["id"]

    @rule(target=files, who=WHO, id=uploads, part=parts)
    def complete(self, who: int, id: str, part: str) -> Any:
        owner, data, state = self.begun[id]
        body = b'{"part_ids":["%b"]}' % part.encode()
        reply = self.ask(who, owner, "POST", "/v1/uploads/ID/complete", id, body)
        of, piece = self.brought[part]
        if reply is None or state != "pending" or of != id or piece != data:
            assert reply is None or reply.status in (200, 400, 404)
            assert reply is None or reply.status != 200 or (state == "completed" and of == id)
            return multiple()
        assert reply.status == 200
        file = reply.json["file"]
        self.begun[id] = (owner, data, "completed")
        self.kept[file["id"]] = (owner, file, data)
        return file["id"]

    @rule(who=WHO, id=uploads)
    def cancel(self, who: int, id: str) -> None:
        owner, data, state = self.begun[id]
        reply = self.ask(who, owner, "POST", "/v1/uploads/ID/cancel", id)
        if reply is not None:
            assert reply.status == (400 if state == "completed" else 200)
            if state == "pending":
                self.begun[id] = (owner, data, "cancelled")

    @rule(id=consumes(files), who=WHO)
    def name_in_a_chat(self, id: str, who: int) -> None:
        part = {"type": "file", "file": {"file_id": id}}
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": [part, {"type": "text", "text": "hi"}]}],
        }
        reply = self.clients[who].post("/v1/chat/completions", body)
        assert reply.status == (200 if self.owner(id) == who else 404)

    @invariant()
    def nobody_has_more_than_is_his(self) -> None:
        for who, client in enumerate(self.clients):
            mine = [id for id, (owner, _, _) in self.kept.items() if owner == who]
            assert [one["id"] for one in client.get("/v1/files?order=asc").json["data"]] == mine


@pytest.mark.timeout(120)
def test_nobody_sees_anything_of_another():
    with tempfile.TemporaryDirectory() as place, GatewayThread(keeping(Path(place) / "data")) as gateway:
        Tenants.gateway = gateway
        machine = Tenants.TestCase
        machine.settings = settings(
            max_examples=50,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        machine().runTest()
        del Tenants.gateway
