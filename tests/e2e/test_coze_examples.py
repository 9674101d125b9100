"""The examples, run as a newcomer runs them, against the gateway that ``make demo`` configures."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo import demo_config
from proxy.simulators.coze import DEMO_WORKFLOW, CozeStandIn
from proxy.simulators.coze_knobs import Interrupt, Node, WorkflowKnobs
from tests.e2e.coze_scene import CHAT, Scene
from tests.e2e.node import runtime
from tests.e2e.sdk_setup import COUNTED, COUNTING, hosted, sdk
from tests.support.gateway import GatewayThread

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = {path.name for path in EXAMPLES.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with hosted(CozeStandIn) as stand_in:
        nowhere = "http://127.0.0.1:9"
        config = demo_config("127.0.0.1", 0, nowhere, stand_in.url, nowhere, nowhere)
        with GatewayThread(config, "uvloop") as gateway, sdk(gateway.url + "/v1") as client:
            yield Scene(stand_in, gateway, client)


def run(here: Scene, name: str, *arguments: str, typed: str = "") -> str:
    program = ["bash"] if name.endswith(".sh") else [sys.executable, "-W", "error"]
    done = subprocess.run(
        [*program, str(EXAMPLES / name), *arguments],
        env=runtime.variables({"OPENAI_BASE_URL": f"{here.gateway.url}/v1"}),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_demo_lists_its_models_and_they_answer(here: Scene):
    listed = [model.id for model in here.client.models.list()]
    names = ["demo", "openai-demo", "coze-demo", "coze-workflow-demo"]
    assert [name for name in listed if name in names] == names
    assert "text-embedding-3-small" in listed
    for name in ("demo", "coze-demo", "coze-workflow-demo"):
        answer = here.client.chat.completions.create(model=name, messages=COUNTING)
        assert (answer.model, answer.choices[0].message.content) == (name, COUNTED)


def test_chat(here: Scene):
    said = run(here, "coze_chat.py", "Count", "to", "20,", "please.")
    assert re.fullmatch(re.escape(COUNTED) + r"\n\(\d+ tokens\)\n", said)


def test_conversation(here: Scene):
    said = run(here, "coze_conversation.py").splitlines()
    assert [line.split(":")[0] for line in said[:4]] == ["you", "bot", "you", "bot"]
    (id,) = re.findall(r"^4 messages are kept in ([0-9]{19})$", said[4])
    assert said[5:] == ["deleted: True"]
    first, second = [
        heard for heard in here.stand_in.heard(CHAT) if heard.path == f"{CHAT}?conversation_id={id}"
    ]
    assert len(first.document["additional_messages"]) == len(second.document["additional_messages"]) == 1


def test_workflow(here: Scene):
    said = run(here, "coze_workflow.py", "repeat: The sea.")
    assert said == "The sea.\n(completed)\n"


def test_workflow_that_asks(here: Scene):
    usual = here.stand_in.workflows[DEMO_WORKFLOW]
    here.stand_in.workflows[DEMO_WORKFLOW] = WorkflowKnobs(
        nodes=(Node("Message", ("Booked.",)),), interrupts=(Interrupt("Which city?"),)
    )
    try:
        said = run(here, "coze_workflow.py", typed="Paris\n")
    finally:
        here.stand_in.workflows[DEMO_WORKFLOW] = usual
    assert said == "Which city?\n(interrupted)\n> Booked.\n(completed)\n"


def test_multimodal(here: Scene, tmp_path: Path):
    (tmp_path / "bird.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    before = len(here.stand_in.world.files)
    assert "I see an image." in run(here, "coze_multimodal.py")
    assert "I see an image." in run(here, "coze_multimodal.py", str(tmp_path / "bird.png"), "Which bird?")
    assert len(here.stand_in.world.files) == before + 2


def test_curl(here: Scene):
    said = run(here, "coze_curl.sh")
    headings = [line for line in said.splitlines() if line.startswith("# ")]
    assert len(headings) == 6
    stream = said.partition("# A conversation")[0]
    assert "1, 2, 3, 4, 5." in "".join(re.findall(r'"delta":\{"content":"([^"]*)"', stream))
    assert stream.rstrip().endswith("data: [DONE]")
    for part in ('"object":"list"', '"cleared":true', '"deleted":true', '"status":"completed"'):
        assert part in said
    ids = re.findall(r'"id":"([0-9]{19})","object":"conversation.deleted"', said)
    assert len(ids) == 1 and ids[0] not in here.stand_in.world.conversations


def test_there_is_a_test_for_every_example():
    tested = set(re.findall(r'"(coze_\w+\.(?:py|sh))"', Path(__file__).read_text()))
    assert {name for name in FOLDER if name.startswith("coze_")} == tested
