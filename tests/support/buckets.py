"""A bucket to keep things in: moto's server, in a process of its own, spoken to over the wire.

It ends when the process that started it does, because it reads its input to the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BUCKET = "kept-files"
SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.disable(logging.CRITICAL)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@contextmanager
def account() -> Iterator[None]:
    """An identity where Amazon's own tools look for one, and no other."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in ACCOUNT.items():
            patch.setenv(name, value)
        yield


@contextmanager
def bucket_server() -> Iterator[str]:
    """The address of a server that has one empty bucket."""
    environment = {**os.environ, **ACCOUNT}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    with process:
        assert process.stdin is not None and process.stdout is not None
        try:
            port = process.stdout.readline().decode().strip()
            assert port, "the bucket's server did not start"
            address = f"http://127.0.0.1:{port}"
            creation = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
            urllib.request.urlopen(creation, timeout=10).close()
            yield address
        finally:
            process.stdin.close()
            process.kill()


def keys_in(address: str) -> list[str]:
    """What objects the bucket has."""
    listing = urllib.request.urlopen(f"{address}/{BUCKET}?list-type=2", timeout=10).read().decode()
    return sorted(piece.partition("</Key>")[0] for piece in listing.split("<Key>")[1:])


def unfinished_in(address: str) -> int:
    """How many uploads in parts are neither complete nor given up."""
    return urllib.request.urlopen(f"{address}/{BUCKET}?uploads", timeout=10).read().count(b"<UploadId>")
