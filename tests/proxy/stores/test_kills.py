"""Killed at any moment: what was said to be kept is there, and the next start is quick."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.files_setup import Client, connected
from tests.support.command import Command
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
TOML = "[upstreams.demo]\nkind = 'builtin'\nmodels = ['demo']\n[storage]\ndata = '{}'\n"
RESTART = 2.0


@pytest.mark.timeout(90)
def test_two_hundred_kills_lose_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.isolated.kill_store", str(tmp_path / "data"), "200"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none lost, none by halves" in done.stdout


def upload_until_it_ends(port: int, kept: dict[str, bytes]) -> None:
    client = Client(port)
    try:
        while True:
            data = random.randbytes(random.randrange(200_000))
            kept[client.keep(data)["id"]] = data
    except (OSError, AssertionError, IndexError, ValueError):
        pass  # it was killed
    finally:
        client.raw.socket.close()


def test_files_outlive_a_gateway_that_is_killed(tmp_path):
    kept: dict[str, bytes] = {}
    for _ in range(3):
        gateway = Command(tmp_path, TOML.format(tmp_path / "data"))
        with gateway, connected(gateway) as client:
            began = time.monotonic()
            assert client.get("/v1/files").status == 200
            assert time.monotonic() - began < RESTART
            wanted = len(kept) + 5
            uploads = [
                threading.Thread(target=upload_until_it_ends, args=(gateway.port, kept)) for _ in range(4)
            ]
            for upload in uploads:
                upload.start()
            until(lambda wanted=wanted: len(kept) > wanted, "some files are kept")
            time.sleep(random.uniform(0, 0.1))
            gateway.process.kill()
            for upload in uploads:
                upload.join(5)
    with Command(tmp_path, TOML.format(tmp_path / "data")) as gateway, connected(gateway) as client:
        for id, data in kept.items():
            assert client.content(id) == data
        listed = client.get("/v1/files?limit=10000").json["data"]
        assert {document["id"] for document in listed} >= kept.keys()
        for document in listed:
            assert len(client.content(document["id"])) == document["bytes"]
