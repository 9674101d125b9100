"""The Bedrock examples, run as a newcomer runs them, against what ``make demo`` has at Amazon."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from proxy.config import Storage
from proxy.demo import BEDROCK, bedrock_stand_in, demo_config
from proxy.simulators.bedrock import DEMO_AGENT, DEMO_ALIAS, DEMO_FLOW_ALIAS
from proxy.simulators.bedrock_frames import Wire
from proxy.simulators.bedrock_knobs import Flow, Produced
from tests.e2e.bedrock_scene import Scene, said
from tests.e2e.node import runtime
from tests.e2e.sdk_setup import COUNTED, COUNTING, hosted, sdk
from tests.support.gateway import GatewayThread

EXAMPLES = Path(__file__).parents[2] / "examples"
DEMO = f"{DEMO_AGENT}/{DEMO_ALIAS}"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with hosted(bedrock_stand_in) as stand_in:
        stand_in.knobs.wire, stand_in.runtime.delay = Wire(), 0.0
        nowhere = "http://127.0.0.1:9"
        config = demo_config("127.0.0.1", 0, nowhere, nowhere, nowhere, stand_in.url)
        config = evolve(config, storage=Storage(data=str(tmp_path_factory.mktemp("data"))))
        with GatewayThread(config, "uvloop") as gateway, sdk(gateway.url + "/v1") as client:
            yield Scene(stand_in, gateway, client)


def run(here: Scene, name: str, *arguments: str, typed: str = "", cwd: Path | None = None) -> str:
    program = ["bash"] if name.endswith(".sh") else [sys.executable, "-W", "error"]
    done = subprocess.run(
        [*program, str(EXAMPLES / name), *arguments],
        env=runtime.variables({"OPENAI_BASE_URL": f"{here.gateway.url}/v1"}),
        input=typed,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_demo_lists_its_models_and_they_answer(here: Scene):
    listed = [model.id for model in here.client.models.list() if "bedrock" in model.id]
    assert listed == [f"{upstream}-demo" for upstream in BEDROCK]
    for name in listed:
        answer = here.client.chat.completions.create(model=name, messages=COUNTING)
        assert answer.choices[0].message.content == COUNTED


def test_chat(here: Scene):
    told = run(here, "bedrock_chat.py", "Count", "to", "20,", "please.")
    assert re.fullmatch(r"The user wants .*\n\n" + re.escape(COUNTED) + r"\n\(\d+ tokens\)\n", told)


def test_session(here: Scene):
    told = run(here, "bedrock_session.py").splitlines()
    ids = {line.partition("  ")[0] for line in told if re.match(r"[0-9a-f]{8}-", line)}
    (id,) = ids
    session = here.stand_in.session(id)
    assert session is not None and session.ended
    assert said(session) == ["My name is Ada.", "Count to 3.", "What is my name?", "Count to 5."]


def test_tools(here: Scene):
    called, *answer = run(here, "bedrock_tools.py", "Please", "track", "parcel", "78.").splitlines()
    assert called == 'track({"parcel":78}) = Parcel 78 is in Ulm.'
    assert "Parcel 78 is in Ulm." in "\n".join(answer)


def test_files(here: Scene, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("A bird.")
    assert "I see an image." in run(here, "bedrock_files.py")
    here.stand_in.agent.files = (Produced("../plot.png", "image/png", b"PNG"),)
    told = run(here, "bedrock_files.py", "notes.txt", "repeat: done", cwd=tmp_path)
    assert told.splitlines()[0] == "done" and told.endswith("wrote plot.png\n")
    assert (tmp_path / "plot.png").read_bytes() == b"PNG"
    (file,) = here.bodies(DEMO)[-1]["sessionState"]["files"]
    assert base64.b64decode(file["source"]["byteContent"]["data"]) == b"A bird."
    here.stand_in.agent.files = ()


def test_flow(here: Scene):
    assert run(here, "bedrock_flow.py", "repeat:", "The", "sea.") == "The sea.\n> "
    here.stand_in.world.flows = {
        id: Flow(asks=("Where to?",), aliases={DEMO_FLOW_ALIAS: "live"}) for id in here.stand_in.world.flows
    }
    told = run(here, "bedrock_flow.py", "A", "trip.", typed="count to 3\n")
    assert told.startswith("Where to?\n> ") and told.endswith("> 1, 2, 3.\n> ")


def test_curl(here: Scene):
    here.stand_in.world.flows = {
        id: Flow(aliases={DEMO_FLOW_ALIAS: "live"}) for id in here.stand_in.world.flows
    }
    told = run(here, "bedrock_curl.sh")
    assert len([line for line in told.splitlines() if line.startswith("# ")]) == 7
    stream = told.partition("# A session")[0]
    assert "1, 2, 3, 4, 5." in "".join(re.findall(r'"delta":\{"content":"([^"]*)"', stream))
    assert stream.rstrip().endswith("data: [DONE]")
    assert '"finish_reason":"tool_calls"' in told and "It is in Ulm." in told
    paths = [heard.path for heard in here.asked(DEMO)[-5:]]
    assert paths[0] == paths[1] and paths[2] == paths[3] != paths[4]
    assert here.bodies(DEMO)[-1]["sessionState"] == {"sessionAttributes": {"plan": "gold"}}


def test_there_is_a_test_for_every_example():
    tested = set(re.findall(r'"(bedrock_\w+\.(?:py|sh))"', Path(__file__).read_text()))
    assert {path.name for path in EXAMPLES.glob("bedrock_*")} == tested
