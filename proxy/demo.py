"""``deltawire demo``: a gateway that needs nothing, to look at and to develop clients against.

``demo`` is the built-in model. ``openai-demo`` is the same words over a real socket: a stand-in server is
started beside the gateway and configured like any other upstream.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.config import Config, Log, Server, Upstream
from proxy.logs import set_up
from proxy.server import Serving, run_until_signal, until_signal
from proxy.simulators.openai import OpenAIStandIn
from translators.upstreams.builtin import BuiltinSettings
from translators.upstreams.openai import OpenAISettings

PACE = 0.03
GREETING = """
deltawire {url}   (Ctrl-C stops it)

  curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model":"demo","stream":true,"messages":[{{"role":"user","content":"Hello!"}}]}}'

  from openai import OpenAI                                   # pip install openai
  client = OpenAI(base_url="{url}/v1", api_key="none")
  for chunk in client.chat.completions.create(model="demo", stream=True,
          messages=[{{"role": "user", "content": "Hello!"}}]):
      print(chunk.choices[0].delta.content or "", end="", flush=True)

  models: {models}
"""


def demo_config(host: str, port: int, upstreams: Mapping[str, Upstream]) -> Config:
    return Config(
        server=Server(host=host, port=port),
        log=Log(level="INFO"),
        upstreams=upstreams,
        default_upstream="demo",
    )


def run(host: str, port: int) -> int:
    set_up(Log(level="WARNING"))
    return run_until_signal("auto", lambda: _demonstrate(host, port))


async def _demonstrate(host: str, port: int) -> int:
    async with OpenAIStandIn(pace=PACE) as stand_in:
        upstreams = {
            "demo": Upstream("demo", "builtin", models=("demo",), options=BuiltinSettings(pace=PACE)),
            "openai-demo": Upstream(
                "openai-demo",
                "openai",
                base_url=stand_in.url,
                models=("openai-demo",),
                options=OpenAISettings(),
            ),
        }
        serving = Serving(demo_config(host, port, upstreams))
        try:
            await serving.start()
        except OSError as error:
            print(f"cannot listen on {host} port {port}: {error.strerror}. Try: PORT=3001 make demo")
            await serving.stop()
            return 1
        models = ", ".join(serving.gateway.models())
        print(GREETING.format(url=serving.url, models=models), flush=True)
        return await until_signal(serving)
