"""Blobs as objects of a bucket, in anything that speaks S3.

What is small goes in one request. What is not goes in parts, one after the other, so that memory holds one part
however large the blob is; the object appears when the parts are put together, and what came of a write that failed
is taken back in the background. If that fails as well, parts lie there unseen: a bucket should have the usual rule
that aborts uploads after a day.

A bucket needs the permissions to get, put, delete and list. Credentials are found where Amazon's own tools find
them. The client is made when it is first needed, because making one takes longer than starting the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias, TypeVar

from attrs import define, field

from proxy.stores.base import PATIENCE
from proxy.stores.blobs_names import checked, gathered, missing
from translators.errors import GatewayError, StorageFull, StorageUnavailable
from translators.excerpt import clean

PART = 8 * 1024 * 1024
"""Bytes of a part; no part but the last may be smaller than 5 MiB, and there may be 10,000."""
PIECE = 256 * 1024
ANSWER = 30.0
"""Seconds of silence that a bucket may keep."""
LAST_MOMENT = 5.0
"""Seconds that taking back may take when the gateway closes."""
_ABSENT = frozenset({"NoSuchKey", "NotFound", "404"})
_PAST_THE_END = frozenset({"InvalidRange", "416"})
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "EntityTooLarge"})

Client: TypeAlias = Any  # aiobotocore makes its methods at run time
T = TypeVar("T")


@define(eq=False)
class S3Blobs:
    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    _client: Client = field(default=None, init=False)
    _running: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _making: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _undoing: set[asyncio.Task[None]] = field(factory=set, init=False)

    async def write(self, name: str, parts: AsyncIterator[bytes]) -> int:
        place = self._place(name)
        client = await self._connect()
        upload, size, written = "", 0, False
        etags: list[dict[str, Any]] = []
        try:
            async for piece in gathered(parts, PART):
                size += len(piece)
                if len(piece) < PART and not upload:
                    await _told(client.put_object(**place, Body=piece))
                    written = True
                    return size
                if not upload:
                    opened = await _told(client.create_multipart_upload(**place))
                    upload = opened["UploadId"]
                if piece:
                    number = len(etags) + 1
                    sent = await _told(
                        client.upload_part(**place, UploadId=upload, PartNumber=number, Body=piece)
                    )
                    etags.append({"PartNumber": number, "ETag": sent["ETag"]})
            whole = {"Parts": etags}
            await _told(client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload=whole))
            written = True
            return size
        finally:
            if not written:
                self._undo(client, place, upload)

    async def read(self, name: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        place = self._place(name)
        nothing = stop is not None and stop <= start
        if nothing:
            place["Range"] = "bytes=0-0"  # whether it is there is wanted all the same
        elif start or stop is not None:
            place["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        client = await self._connect()
        try:
            answer = await _told(client.get_object(**place))
        except _PastTheEnd:
            return
        async with answer["Body"] as body:  # which knows its length, and fails if it ends before
            while not nothing and (piece := await _told(body.read(PIECE))):
                yield piece

    async def delete(self, name: str) -> None:
        place = self._place(name)
        client = await self._connect()
        await _told(client.delete_object(**place))

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                client = await self._connect()
                await _told(client.head_bucket(Bucket=self.bucket))
        except TimeoutError:
            raise _unavailable("The bucket does not answer.") from None
        except GatewayError as error:
            if error.status == missing().status:
                raise _unavailable("There is no such bucket.") from None
            raise

    async def close(self) -> None:
        if self._undoing:
            await asyncio.wait(self._undoing, timeout=LAST_MOMENT)
        self._client = None
        await self._running.aclose()

    def _place(self, name: str) -> dict[str, Any]:
        key = f"{self.prefix}/{checked(name)}" if self.prefix else checked(name)
        return {"Bucket": self.bucket, "Key": key}

    async def _connect(self) -> Client:
        async with self._making:
            if self._client is None:
                self._client = await self._running.enter_async_context(await asyncio.to_thread(self._made))
        return self._client

    def _made(self) -> Any:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

        config = AioConfig(
            connect_timeout=2.0,
            read_timeout=ANSWER,
            retries={"total_max_attempts": 2, "mode": "standard"},
            max_pool_connections=50,
            request_checksum_calculation="when_required",  # others than Amazon do not know the newer ones
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if self.endpoint else {},
        )
        return get_session().create_client(
            "s3", endpoint_url=self.endpoint or None, region_name=self.region or None, config=config
        )

    def _undo(self, client: Client, place: dict[str, Any], upload: str) -> None:
        """In the background: whoever wrote may have been cancelled, or wait for bad news."""
        task = asyncio.get_running_loop().create_task(_taken_back(client, place, upload))
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)


async def _taken_back(client: Client, place: dict[str, Any], upload: str) -> None:
    """The answer to what made the object visible may have got lost, so it is deleted in any case."""
    undo: list[Callable[[], Awaitable[Any]]] = [lambda: client.delete_object(**place)]
    if upload:
        undo.insert(0, lambda: client.abort_multipart_upload(**place, UploadId=upload))
    for step in undo:
        try:
            await _told(step())
        except GatewayError:
            continue


class _PastTheEnd(Exception):
    """The bytes that were asked for lie behind the last one."""


async def _told(call: Awaitable[T]) -> T:
    """What ``call`` brings; its failures become ours, without what the other side wrote in them."""
    import aiohttp
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        return await call
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise _refused(code) from None
    except (BotoCoreError, HTTPClientError, aiohttp.ClientError, OSError) as error:
        raise StorageUnavailable(
            "Files cannot be kept or found now.", detail=type(error).__name__, retry_after=1.0
        ) from None


def _refused(code: str) -> Exception:
    if code in _ABSENT:
        return missing()
    if code in _PAST_THE_END:
        return _PastTheEnd()
    kind = StorageFull if code in _FULL else StorageUnavailable
    return kind("The bucket refused.", detail=clean(code), retry_after=1.0)


def _unavailable(message: str) -> StorageUnavailable:
    return StorageUnavailable(message, retry_after=1.0)
