"""Every platform the gateway knows, by the ``kind`` that configuration calls it."""

from __future__ import annotations

from translators.upstreams.base import Upstream
from translators.upstreams.bedrock import Bedrock
from translators.upstreams.builtin import Builtin
from translators.upstreams.coze import Coze
from translators.upstreams.dify import Dify
from translators.upstreams.openai import OpenAI

UPSTREAMS: dict[str, type[Upstream]] = {kind.name: kind for kind in (OpenAI, Builtin, Coze, Dify, Bedrock)}
