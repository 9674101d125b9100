"""``deltawire demo``: a gateway that needs nothing, to look at and to develop clients against.

``demo`` is the built-in model. The others speak the same words over real sockets: a stand-in for each platform is
started beside the gateway and configured like any other upstream. ``openai-demo`` is an OpenAI-shaped server,
``coze-demo`` a bot and ``coze-workflow-demo`` a workflow of a Coze account, ``dify-demo`` a chatflow,
``dify-agent-demo`` an agent and ``dify-workflow-demo`` a workflow of a Dify server, each behind a key of its own.
``bedrock-demo`` is an agent, ``bedrock-flow-demo`` a flow and ``bedrock-runtime-demo`` a runtime of an account at
Amazon, whose requests are signed and whose signatures are verified.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from attrs import evolve

from proxy.config import Alias, Config, Log, Secret, Server, Upstream
from proxy.embeddings_local import installed
from proxy.logs import set_up
from proxy.server import Serving, catch_signals, run_until_signal, until_signal
from proxy.simulators.bedrock import (
    DEMO_AGENT,
    DEMO_ALIAS,
    DEMO_FLOW,
    DEMO_FLOW_ALIAS,
    DEMO_KEYS,
    DEMO_REGION,
    DEMO_RUNTIME,
    BedrockStandIn,
)
from proxy.simulators.bedrock_frames import Wire
from proxy.simulators.bedrock_knobs import Knobs as BedrockKnobs
from proxy.simulators.coze import DEMO_BOT, DEMO_TOKEN, DEMO_WORKFLOW, CozeStandIn
from proxy.simulators.dify import DifyStandIn
from proxy.simulators.dify_apps import App, Variable
from proxy.simulators.dify_apps import Knobs as DifyKnobs
from proxy.simulators.openai import Knobs, OpenAIStandIn
from translators.upstreams.bedrock_settings import BedrockSettings
from translators.upstreams.builtin import BuiltinSettings
from translators.upstreams.coze_settings import CozeSettings
from translators.upstreams.dify_settings import DifySettings
from translators.upstreams.openai import OpenAISettings

PACE = 0.03
STAND_IN_MODEL = "gpt-4o-mini"
_FORM = (Variable("topic"), Variable("tone", "select", options=("dry", "warm")))
DIFY_APPS = {
    "dify": ("app-demo", App(name="Chatflow")),
    "dify-agent": ("app-agent-demo", App("agent-chat", name="Agent")),
    "dify-workflow": ("app-workflow-demo", App("workflow", name="Workflow", form=_FORM)),
}
"""For each upstream the key and the app behind it."""
_ACCOUNT = BedrockSettings(
    region=DEMO_REGION, access_key=DEMO_KEYS.access_key, secret_key=DEMO_KEYS.secret_key
)
BEDROCK = {
    "bedrock": evolve(_ACCOUNT, agent_id=DEMO_AGENT, agent_alias_id=DEMO_ALIAS),
    "bedrock-flow": evolve(_ACCOUNT, flow=DEMO_FLOW, flow_alias=DEMO_FLOW_ALIAS),
    "bedrock-runtime": evolve(_ACCOUNT, runtime=DEMO_RUNTIME),
}
"""For each upstream what answers."""
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
  the API, to read and to try: {url}/docs
"""


def demo_config(host: str, port: int, openai: str, coze: str, dify: str, bedrock: str) -> Config:
    """A gateway in front of the stand-ins at these addresses."""
    plain = OpenAISettings()
    bot = CozeSettings(bot_id=DEMO_BOT, workflow_id=DEMO_WORKFLOW)
    workflow = CozeSettings(bot_id=DEMO_BOT, workflow_id=DEMO_WORKFLOW, model_type="workflow")
    return Config(
        server=Server(host=host, port=port),
        upstreams={
            "demo": Upstream("demo", "builtin", models=_built_in(), options=BuiltinSettings(pace=PACE)),
            "stand-in": Upstream("stand-in", "openai", base_url=openai, options=plain),
            "coze": Upstream("coze", "coze", base_url=coze, api_key=Secret(DEMO_TOKEN), options=bot),
            **{name: _dify(name, key, dify) for name, (key, _) in DIFY_APPS.items()},
            **{name: _bedrock(name, settings, bedrock) for name, settings in BEDROCK.items()},
        },
        models={
            "openai-demo": Alias("stand-in", STAND_IN_MODEL, plain),
            "coze-demo": Alias("coze", None, bot),
            "coze-workflow-demo": Alias("coze", None, workflow),
        },
        default_upstream="demo",
    )


def _built_in() -> tuple[str, ...]:
    """Beside the model that speaks, one whose vectors anybody can check, and one that knows what words mean."""
    return ("demo", "text-embedding-3-small", *(("wordllama",) if installed() else ()))


def _dify(name: str, key: str, base_url: str) -> Upstream:
    models = (f"{name}-demo",)
    return Upstream(name, "dify", base_url, Secret(key), models, options=DifySettings())


def _bedrock(name: str, settings: BedrockSettings, base_url: str) -> Upstream:
    return Upstream(name, "bedrock", base_url, models=(f"{name}-demo",), options=settings)


def dify_stand_in() -> DifyStandIn:
    """A server without the limit of the stock container: a demo may be asked by many."""
    return DifyStandIn(dict(DIFY_APPS.values()), knobs=DifyKnobs(connections=None, delay=PACE))


def bedrock_stand_in() -> BedrockStandIn:
    stand_in = BedrockStandIn(knobs=BedrockKnobs(Wire(delay=PACE)))
    stand_in.runtime.delay = PACE
    return stand_in


def run(host: str, port: int) -> int:
    set_up(Log())
    return run_until_signal("auto", lambda: _demonstrate(host, port))


async def _demonstrate(host: str, port: int) -> int:
    signals = catch_signals()
    async with AsyncExitStack() as running:
        openai = await running.enter_async_context(OpenAIStandIn(knobs=Knobs(delay=PACE)))
        coze = await running.enter_async_context(CozeStandIn())
        coze.knobs.delay = coze.workflows[DEMO_WORKFLOW].delay = PACE
        dify = await running.enter_async_context(dify_stand_in())
        bedrock = await running.enter_async_context(bedrock_stand_in())
        serving = Serving(demo_config(host, port, openai.url, coze.url, dify.url, bedrock.url))
        if not await serving.listen():
            return 1
        print(GREETING.format(url=serving.url, models=", ".join(serving.gateway.models())), flush=True)
        return await until_signal(serving, signals)
