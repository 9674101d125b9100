"""The architecture as tables: who may import whom, what is pure, what a token's path may not contain.

``test_architecture`` enforces them. A new module of translators needs a row here, and writing that row is the
moment to think.
"""

from __future__ import annotations

PURE = {
    *(
        "__future__",
        "abc",
        "base64",
        "binascii",
        "bisect",
        "codecs",
        "collections",
        "enum",
        "functools",
        "hashlib",
        "hmac",
        "html",
    ),
    *(
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "string",
        "struct",
        "types",
        "typing",
        "unicodedata",
        "zlib",
    ),
    *("attrs", "orjson"),
}
"""All that translators may import from outside; none of it knows a clock, a socket, a file or chance."""

IMPURE_CALLS = {"open", "input", "eval", "exec", "compile", "breakpoint", "__import__", "print"}

INNER = {
    "wirejson": "",
    "record": "",
    "ids": "record",
    "excerpt": "",
    "template": "shortcut",
    "shortcut": "wirejson",
    "prose": "",
    "sigv4": "",
    "schema_sample": "",
    "errors": "wirejson",
    "events": "errors",
    "decode": "errors wirejson",
    "checks": "decode errors",
    "embeddings": "checks errors wirejson",
    "vectors": "embeddings errors",
    "request": "checks record",
    "thinking": "events",
    "affinity": "wirejson",
    "generator": "prose schema_sample wirejson",
    "framing": "errors excerpt framing shortcut template",
    "upstreams": (
        "affinity embeddings errors events excerpt framing generator ids record request shortcut template thinking "
        "upstreams vectors wirejson"
    ),
    "surfaces": "errors events ids shortcut surfaces wirejson",
    "stream": "errors events framing surfaces upstreams",
}
"""For each module or package of translators, what of translators it may import. Neither of upstreams and
surfaces knows the other, and only ``stream`` knows both."""

OUTER = {
    "proxy.config": (
        "proxy.app proxy.dial proxy.gateway proxy.relay proxy.routes proxy.server proxy.wire translators.upstreams"
    ),
    "proxy.wire": (
        "proxy.app proxy.config proxy.dial proxy.gateway proxy.headers proxy.middlewares proxy.outlet proxy.record "
        "proxy.relay proxy.routes proxy.server proxy.sweep translators.framing translators.stream "
        "translators.surfaces"
    ),
    "proxy.wire.base": "aiohttp proxy.wire",
    "proxy.wire.connection": "aiohttp proxy.wire.lean proxy.wire.pool proxy.wire.reference",
    "proxy.wire.lean": "aiohttp proxy.wire.reference",
    "proxy.wire.pool": "aiohttp proxy.wire.lean proxy.wire.reference",
    "proxy.wire.reference": "proxy.wire.connection proxy.wire.lean proxy.wire.pool proxy.wire.response",
    "proxy.wire.response": "aiohttp asyncio proxy.wire",
    "proxy.outlet": "proxy.config proxy.gateway proxy.relay proxy.routes proxy.wire translators",
    "proxy.sweep": "proxy.config proxy.gateway proxy.outlet proxy.relay proxy.routes proxy.wire",
    "proxy.headers": "proxy.gateway proxy.relay proxy.routes proxy.server proxy.wire translators",
    "proxy.dial": "proxy.app proxy.gateway proxy.relay proxy.routes translators.surfaces aiohttp",
    "proxy.embeddings": "proxy.app proxy.gateway proxy.middlewares proxy.routes proxy.server aiohttp",
    "proxy.describe": "proxy.app proxy.gateway proxy.relay proxy.routes proxy.server proxy.wire",
    "proxy.voices": "proxy.app proxy.gateway proxy.middlewares proxy.routes proxy.server aiohttp",
    "proxy.exchange": "proxy.app proxy.gateway proxy.routes proxy.config aiohttp",
    "proxy.turns": "proxy.app proxy.config proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.errands": "proxy.app proxy.gateway proxy.relay proxy.routes aiohttp",
    "proxy.aws": "proxy.app proxy.config proxy.gateway proxy.relay proxy.routes proxy.signing aiohttp",
    "proxy.aws_credentials": (
        "proxy.app proxy.aws proxy.config proxy.gateway proxy.relay proxy.routes proxy.signing proxy.wire aiohttp"
    ),
    "proxy.signing": "proxy.app proxy.gateway proxy.relay proxy.routes aiohttp",
    "proxy.keepers": "proxy.app proxy.gateway proxy.relay proxy.routes aiohttp",
    "proxy.catalog": "proxy.app proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.callers": "proxy.app proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.memory": "proxy.app proxy.config proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.memory_stored": "proxy.app proxy.config proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.stores": "proxy.app proxy.config proxy.gateway proxy.relay proxy.routes proxy.storage proxy.wire",
    "proxy.stores.base": "asyncio asyncpg sqlite3",
    "proxy.stores.sqlite": "asyncpg proxy.stores.postgres proxy.stores.blobs",
    "proxy.stores.postgres": "sqlite3 proxy.stores.sqlite proxy.stores.blobs",
    "proxy.storage": "proxy.app proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp asyncpg",
    "proxy.flights": "proxy.app proxy.config proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.background": "proxy.app proxy.config proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.attachments": "proxy.app proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.files": "proxy.app proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.intake": "proxy.app proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.uploads": "proxy.app proxy.gateway proxy.relay proxy.routes proxy.wire aiohttp",
    "proxy.relay": "proxy.app proxy.gateway proxy.routes translators.upstreams translators.surfaces aiohttp",
    "proxy.gateway": "proxy.app proxy.middlewares proxy.routes proxy.server proxy.simulators",
    "proxy.record": "proxy.app proxy.middlewares proxy.relay proxy.routes proxy.server proxy.wire aiohttp",
    "proxy.routes": "proxy.app proxy.dial proxy.relay proxy.server proxy.wire translators.upstreams",
    "proxy.simulators": "proxy.app proxy.config proxy.gateway proxy.relay proxy.routes proxy.server proxy.wire",
    "proxy.app": "proxy.cli proxy.demo proxy.listener proxy.server proxy.simulators proxy.wire",
    "proxy.listener": "proxy.cli proxy.demo proxy.server proxy.simulators proxy.wire",
    "proxy.server": "proxy.cli proxy.demo proxy.simulators",
}
"""For each module or package of proxy, what it must never import: whatever stands above or beside it."""

_JUDGES = ["calls", "judge", "laws", "read", "reading", "record", "shapes", "stream", "syntax", "times"]
OUTER |= dict.fromkeys(
    [f"proxy.compare.{one}" for one in _JUDGES],
    "aiohttp asyncio time proxy.compare.ask proxy.config proxy.simulators",
)

BROAD_CATCHES = {"proxy/middlewares.py": 1, "proxy/wire/connection.py": 1}
"""The two places that may catch everything: where a request ends, and where a callback ends."""

PRINTERS = ("bench/", "proxy/cli.py", "proxy/demo.py")

PER_TOKEN = {
    "proxy/outlet.py": "HttpOutlet.write HttpOutlet.full HttpOutlet.waiting HttpOutlet._write",
    "proxy/relay.py": "Relay.take",
    "proxy/wire/connection.py": "Connection.data_received Incoming.arrived Incoming._hand_on",
    "proxy/wire/response.py": "ResponseParser.feed ResponseParser._in_chunks ResponseParser._in_chunk",
    "translators/framing/aws.py": "AwsEvents.feed",
    "translators/framing/sse.py": "SSE.feed SSE._events",
    "translators/upstreams/coze.py": "Coze.translate",
    "translators/upstreams/coze_answer.py": "ChatAnswer.read ChatAnswer._delta",
    "translators/affinity.py": "Told.say",
    "translators/upstreams/bedrock_answer.py": "BedrockAnswer.translate",
    "translators/upstreams/bedrock_runtime_answer.py": "RuntimeAnswer.translate",
    "translators/upstreams/dify_answer.py": "DifyAnswer.translate",
    "translators/upstreams/coze_framing.py": "CozeEvents._whole CozeEvents._block",
    "translators/shortcut.py": "Shortcut.read",
    "translators/stream.py": "Stream.feed",
    "translators/surfaces/chat.py": "Chat.render Chat.words",
    "translators/template.py": "Template.match",
    "translators/upstreams/openai.py": "OpenAI.translate OpenAI._chunk",
}
"""What runs for every token."""
