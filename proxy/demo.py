"""``deltawire demo``: a gateway that needs nothing, to look at and to develop clients against.

``demo`` is the built-in model. ``openai-demo`` speaks the same words over a real socket: a stand-in server is
started beside the gateway and configured like any other upstream.
"""

from __future__ import annotations

from proxy.config import Alias, Config, Log, Server, Upstream
from proxy.logs import set_up
from proxy.server import Serving, run_until_signal, until_signal
from proxy.simulators.openai import Knobs, OpenAIStandIn
from translators.upstreams.builtin import BuiltinSettings
from translators.upstreams.openai import OpenAISettings

PACE = 0.03
STAND_IN_MODEL = "gpt-4o-mini"
GREETING = """
deltawire serves {url}   (Ctrl-C stops it)

  curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model":"demo","stream":true,"messages":[{{"role":"user","content":"Hello!"}}]}}'

  from openai import OpenAI        # pip install openai
  client = OpenAI(base_url="{url}/v1", api_key="none")
  question = [{{"role": "user", "content": "Hello!"}}]
  for chunk in client.chat.completions.create(model="demo", messages=question, stream=True):
      print(chunk.choices[0].delta.content or "", end="", flush=True)

  models: {models}
"""


def demo_config(host: str, port: int, stand_in: str) -> Config:
    openai = OpenAISettings()
    return Config(
        server=Server(host=host, port=port),
        upstreams={
            "demo": Upstream("demo", "builtin", models=("demo",), options=BuiltinSettings(pace=PACE)),
            "stand-in": Upstream("stand-in", "openai", base_url=stand_in, options=openai),
        },
        models={"openai-demo": Alias("stand-in", STAND_IN_MODEL, openai)},
        default_upstream="demo",
    )


def run(host: str, port: int) -> int:
    set_up(Log())
    return run_until_signal("auto", lambda: _demonstrate(host, port))


async def _demonstrate(host: str, port: int) -> int:
    async with OpenAIStandIn(knobs=Knobs(delay=PACE)) as stand_in:
        serving = Serving(demo_config(host, port, stand_in.url))
        if not await serving.listen():
            return 1
        print(GREETING.format(url=serving.url, models=", ".join(serving.gateway.models())), flush=True)
        return await until_signal(serving)
