"""The Dify examples, run as a newcomer runs them, against the apps of ``make demo``."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo import DIFY_APPS, demo_config, dify_stand_in
from tests.e2e.dify_scene import Scene
from tests.e2e.node import runtime
from tests.e2e.sdk_setup import COUNTED, COUNTING, hosted, sdk
from tests.support.gateway import GatewayThread

EXAMPLES = Path(__file__).parents[2] / "examples"
FLOW, AGENT, WORKFLOW = (key for key, _ in DIFY_APPS.values())


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with hosted(dify_stand_in) as stand_in:
        stand_in.knobs.delay = 0.0
        nowhere = "http://127.0.0.1:9"
        config = demo_config("127.0.0.1", 0, nowhere, nowhere, stand_in.url, nowhere)
        with GatewayThread(config, "uvloop") as gateway, sdk(gateway.url + "/v1") as client:
            yield Scene(stand_in, gateway, client)


def run(here: Scene, name: str, *arguments: str) -> str:
    program = ["bash"] if name.endswith(".sh") else [sys.executable, "-W", "error"]
    done = subprocess.run(
        [*program, str(EXAMPLES / name), *arguments],
        env=runtime.variables({"OPENAI_BASE_URL": f"{here.gateway.url}/v1"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_demo_lists_its_models_and_they_answer(here: Scene):
    listed = [model.id for model in here.client.models.list() if "dify" in model.id]
    names = [f"{upstream}-demo" for upstream in DIFY_APPS]
    apps = [f"{upstream}/{app.name}" for upstream, (_, app) in DIFY_APPS.items()]
    assert listed == [*names, *apps]
    for name in listed:
        answer = here.client.chat.completions.create(model=name, messages=COUNTING)
        assert (answer.choices[0].message.content or "").endswith(COUNTED)


def test_chat(here: Scene):
    said = run(here, "dify_chat.py", "Count", "to", "20,", "please.")
    assert re.fullmatch(re.escape(COUNTED) + r"\n\(\d+ tokens\)\n", said)


def test_conversation(here: Scene):
    said = run(here, "dify_conversation.py").splitlines()
    ids = [line.partition("  ")[0] for line in said if re.match(r"[0-9a-f]{8}-", line)]
    assert len(set(ids[:-2])) == 1 and len(ids) == 8
    assert ids[-1] == ids[0] != ids[-2]
    one, other = (here.stand_in.store.conversations[id] for id in (ids[0], ids[-2]))
    assert [message.query for message in one.messages][1:] == [
        "Count to 3.",
        "What is my name?",
        "Count to 5.",
    ]
    assert len(other.messages) == 1


def test_workflow(here: Scene):
    assert run(here, "dify_workflow.py", "repeat: The sea.", "tone=dry") == "The sea. dry\n"
    assert here.questions(WORKFLOW)[-1]["inputs"] == {"topic": "repeat: The sea.", "tone": "dry"}


def test_files(here: Scene, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("A bird.")
    before = len(here.stand_in.store.uploads)
    assert "I see an image." in run(here, "dify_files.py")
    run(here, "dify_files.py", str(tmp_path / "notes.txt"), "Which", "bird?")
    kinds = [one.mime_type for one in here.stand_in.store.uploads.values()]
    assert kinds[before:] == ["image/png", "text/plain"]
    assert here.questions(FLOW)[-1]["query"] == "Which bird?"


def test_curl(here: Scene):
    said = run(here, "dify_curl.sh")
    assert len([line for line in said.splitlines() if line.startswith("# ")]) == 6
    stream = said.partition("# A conversation")[0]
    assert "1, 2, 3, 4, 5." in "".join(re.findall(r'"delta":\{"content":"([^"]*)"', stream))
    assert stream.rstrip().endswith("data: [DONE]")
    assert "Let me look that up. 1, 2, 3." in said
    assert re.search(r'\{"text":"I hear \d+ bytes of audio/mp3\."\}', said)
    first, second = here.questions(FLOW)[-2:]
    assert second["conversation_id"] and "conversation_id" not in first


def test_there_is_a_test_for_every_example():
    tested = set(re.findall(r'"(dify_\w+\.(?:py|sh))"', Path(__file__).read_text()))
    assert {path.name for path in EXAMPLES.glob("dify_*")} == tested
