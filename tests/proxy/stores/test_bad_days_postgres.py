"""What can happen to a database server: it stops, it hangs, it has no place, it loses its tables.

It is a real one, and it is stopped for real.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from proxy.config import Secret
from tests.e2e.files_setup import Client, ServeConfig, connected, form, keeping
from tests.proxy.stores.bad_setup import PATIENCE, ROOM, answering, chats, heals, keeps, refused, says_so
from tests.support.gateway import GatewayThread, builtin_upstream
from tests.support.postgres import Postgres
from tests.support.waiting import until


@pytest.fixture
def gateway(serve_config: ServeConfig, tmp_path: Path, database: str) -> GatewayThread:
    config = keeping(tmp_path / "data", builtin_upstream(pace=0.02), database_url=Secret(database))
    return serve_config(config)


@pytest.fixture
def client(gateway: GatewayThread) -> Iterator[Client]:
    with connected(gateway) as client:
        yield client


def test_the_server_stops_and_comes_back(postgres: Postgres, gateway, client):
    """In the middle of an answer, too."""
    assert client.get("/readyz").status == 200
    id = keeps(client)
    with answering(gateway):
        postgres.stop()
        try:
            says_so(client, "its server")
        finally:
            postgres.start()
        heals(client)
    assert client.content(id) == b"kept"


def test_a_gateway_starts_without_its_server(postgres: Postgres, serve_config, tmp_path, database):
    postgres.stop()
    try:
        gateway = serve_config(keeping(tmp_path / "data", database_url=Secret(database)))
        with connected(gateway) as client:
            ready = client.get("/readyz")
            assert ready.status == 503 and "cannot be reached" in ready.json["reasons"][0]
            says_so(client, "its server cannot be reached")
    finally:
        postgres.start()
    with connected(gateway) as client:
        heals(client)


def test_the_server_does_not_answer(gateway, client, database):
    """Its table is held by somebody; everybody waits until all connections are taken, and nobody for long."""
    id = keeps(client)

    async def while_it_hangs() -> None:
        holder = await asyncpg.connect(database)
        async with holder.transaction():
            await holder.execute("LOCK TABLE deltawire_documents")
            with answering(gateway):
                clients = [Client(gateway.port) for _ in range(20)]
                began = time.monotonic()
                for one in clients:
                    one.raw.request("GET", f"/v1/files/{id}")
                chats(client)
                for one in clients:
                    refused(one.raw.reply(), "")
                    one.raw.socket.close()
                assert time.monotonic() - began < PATIENCE + ROOM
        await holder.close()

    asyncio.run(while_it_hangs())
    heals(client)
    assert client.content(id) == b"kept"


def test_the_server_takes_no_more_connections(postgres: Postgres, gateway, client, database):
    name = database.split("/")[3].split("?")[0]
    keeps(client)
    postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    postgres.execute(end)
    says_so(client, "Nothing can be kept or found now")
    postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    heals(client)


def test_the_tables_are_gone_and_come_back(postgres: Postgres, gateway, client, database):
    name = database.split("/")[3].split("?")[0]
    keeps(client)
    postgres.execute("DROP TABLE deltawire_documents, deltawire_migrations", name)
    until(lambda: client.get("/v1/files").status == 503, "it is noticed")
    heals(client)


def test_the_role_may_not_write(postgres: Postgres, gateway, client, database):
    name = database.split("/")[3].split("?")[0]
    id = keeps(client)
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    until(lambda: client.get(f"/v1/files/{id}").status == 200, "it can be read", 3.0)
    refused(client.upload(form()), "its database is read-only")
    until(lambda: client.get("/readyz").status == 503, "it is not ready", 2.0)
    chats(client)
    postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    heals(client)
