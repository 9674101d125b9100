"""The shape of the project, enforced: who may import whom, what is pure, what a token's path may not contain.

Every rule is a function from one parsed file to complaints, applied to all files it concerns; the second half
shows each rule a small source text that breaks it, so that none can pass by being blind. The tables themselves are
in ``tests/architecture.py``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from attrs import frozen

from tests.architecture import (
    BROAD_CATCHES,
    IMPURE_CALLS,
    INNER,
    OUTER,
    PER_TOKEN,
    PRINTERS,
    PURE,
)

ROOT = Path(__file__).parent.parent
LONGEST_FILE = 450
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b|\bNotImplemented[E]rror\b")  # not itself


# The rules.


@frozen
class Source:
    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def translates(self) -> bool:
        return self.path.startswith("translators/")


Rule = Callable[[Source], Iterator[str]]


def imports(source: Source) -> Iterator[str]:
    """The full name of everything imported, wherever in the file; ``from a import b`` is ``a.b``."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = source.module.rpartition(".")[0] + "." if node.level else ""
            yield from (f"{package}{node.module or ''}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def pure(source: Source) -> Iterator[str]:
    if not source.translates:
        return
    for name in imports(source):
        if name.split(".")[0] not in PURE | {"translators"}:
            yield f"translators must not import {name}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield f"translators must not call {node.func.id}"
        elif isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncFunctionDef, ast.AsyncWith)):
            yield "translators must not await"


def layered(source: Source) -> Iterator[str]:
    if not source.translates or source.module == "translators":
        return
    unit = source.module.split(".")[1]
    if unit not in INNER:
        yield f"translators.{unit} has no row in INNER: say what it may import"
        return
    for name in imports(source):
        parts = name.split(".")
        if parts[0] == "translators" and parts[1] not in INNER[unit].split():
            yield f"translators.{unit} must not import translators.{parts[1]}"


def outward(source: Source) -> Iterator[str]:
    banned = [name for row, names in OUTER.items() if within(source.module, row) for name in names.split()]
    for name in imports(source):
        yield from (f"{source.module} must not import {ban}" for ban in banned if within(name, ban))


def only_the_demo_simulates(source: Source) -> Iterator[str]:
    simulating = ("proxy/compare/demo.py", "proxy/demo.py", "proxy/simulators/", "bench/")
    if not source.path.startswith(simulating) and any(
        within(name, "proxy.simulators") for name in imports(source)
    ):
        yield "the stand-ins are for the demo, the tests and the bench"


def catches(source: Source) -> Iterator[str]:
    """Everything caught, even if it is raised again: what must be undone is undone by ``finally`` or a stack."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None or broad([node.type]):
                yield f"catches everything in line {node.lineno}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress") and broad(node.args):
            yield f"suppresses everything in line {node.lineno}"


def broad(caught: Sequence[ast.expr]) -> bool:
    kinds = [inner for kind in caught for inner in (kind.elts if isinstance(kind, ast.Tuple) else [kind])]
    return any(isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException") for kind in kinds)


def no_broad_catch(source: Source) -> Iterator[str]:
    found = list(catches(source))
    if len(found) != BROAD_CATCHES.get(source.path, 0):
        yield from found or ["was expected to catch everything in one place; is the table right?"]


def quiet(source: Source) -> Iterator[str]:
    if source.path.startswith(PRINTERS):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"prints in line {node.lineno}"


def short(source: Source) -> Iterator[str]:
    length = len(source.text.splitlines())
    if length > LONGEST_FILE:
        yield f"has {length} lines: a noun is missing"


def documented(source: Source) -> Iterator[str]:
    if source.text.strip() and not ast.get_docstring(source.tree):
        yield "has no docstring that states its strategy"


def finished(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"is unfinished in line {number}"


def swift(source: Source) -> Iterator[str]:
    """No await, lock, log line, clock or generator where every token passes."""
    for name in PER_TOKEN.get(source.path, "").split():
        function = find(source.tree, name)
        if function is None:
            yield f"{name} is gone; the table of what runs for every token is wrong"
        else:
            yield from (f"{name} {slow}" for node in per_token(function) if (slow := slowness(node)))


def find(tree: ast.Module, name: str) -> ast.AST | None:
    class_name, _, method = name.partition(".")
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for inner in node.body:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)) and inner.name == method:
                    return inner
    return None


def per_token(node: ast.AST) -> Iterator[ast.AST]:
    """All of a function but its exception handlers, which run once for a stream at most."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.ExceptHandler):
            yield from per_token(child)


SLOW_CALL = re.compile(
    r"(?:^|\.)(?:_?log(?:ger|ging)?\.\w+|acquire|now|time|monotonic|sleep|create_task|call_soon)$"
)


def slowness(node: ast.AST) -> str:
    if isinstance(node, (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)):
        return "awaits"
    if isinstance(node, (ast.Yield, ast.YieldFrom)):
        return "is a generator"
    if isinstance(node, ast.With):
        return "holds something while it runs"
    if isinstance(node, ast.Call) and SLOW_CALL.search(ast.unparse(node.func)):
        return f"calls {ast.unparse(node.func)}"
    return ""


EVERYWHERE: tuple[Rule, ...] = (short, documented, finished)
SHIPPED: tuple[Rule, ...] = (pure, layered, outward, only_the_demo_simulates, no_broad_catch, quiet, swift)


# The project.


def sources(*folders: str) -> list[Source]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text()) for path in found]


PRODUCT = sources("translators", "proxy")
ALL = [*PRODUCT, *sources("bench", "tests")]


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda rule: rule.__name__)
def test_the_product(rule: Rule):
    assert [f"{source.path}: {complaint}" for source in PRODUCT for complaint in rule(source)] == []


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_every_file(rule: Rule):
    judged = [source for source in ALL if source.path != "tests/test_architecture.py" or rule is short]
    assert [f"{source.path}: {complaint}" for source in judged for complaint in rule(source)] == []


def test_the_tables_speak_of_files_that_exist():
    paths = {source.path for source in PRODUCT}
    assert len(PRODUCT) > 40
    assert set(PER_TOKEN) | set(BROAD_CATCHES) <= paths
    modules = {source.module for source in PRODUCT}
    assert set(OUTER) <= modules
    assert {f"translators.{unit}" for unit in INNER} <= modules


# The rules can fail.

BAD: tuple[tuple[Rule, str, str], ...] = (
    (pure, "translators/x.py", "import asyncio"),
    (pure, "translators/x.py", "from time import monotonic"),
    (pure, "translators/x.py", "import os.path"),
    (pure, "translators/x.py", "def f():\n    import random"),
    (pure, "translators/x.py", "from logging import getLogger"),
    (pure, "translators/x.py", "import proxy.config"),
    (pure, "translators/x.py", "from proxy import config"),
    (pure, "translators/x.py", "import aiohttp, re"),
    (pure, "translators/x.py", "f = open('x')"),
    (pure, "translators/x.py", "async def f(): pass"),
    (layered, "translators/surfaces/chat.py", "from translators.upstreams.base import Call"),
    (layered, "translators/surfaces/chat.py", "import translators.stream"),
    (layered, "translators/upstreams/dify.py", "from translators import surfaces"),
    (layered, "translators/upstreams/dify.py", "from translators.stream import Stream"),
    (layered, "translators/framing/aws.py", "from translators.events import Text"),
    (layered, "translators/events.py", "from .upstreams import base"),
    (layered, "translators/helpers.py", ""),
    (outward, "proxy/routes/chat.py", "from proxy.relay import Relay"),
    (outward, "proxy/relay.py", "from translators.upstreams.openai import OpenAI"),
    (outward, "proxy/config/model.py", "from proxy import gateway"),
    (outward, "proxy/wire/connection.py", "from proxy.outlet import HttpOutlet"),
    (outward, "proxy/files.py", "from aiohttp import web"),
    (outward, "proxy/storage.py", "import asyncpg"),
    (outward, "proxy/stores/steady.py", "from proxy.storage import Storage"),
    (outward, "proxy/wire/base.py", "from proxy.wire.lean import LeanWire"),
    (outward, "proxy/wire/lean.py", "import aiohttp"),
    (outward, "proxy/wire/response.py", "import asyncio"),
    (outward, "proxy/compare/judge.py", "from time import monotonic"),
    (only_the_demo_simulates, "proxy/compare/run.py", "from proxy.simulators import openai"),
    (only_the_demo_simulates, "proxy/gateway.py", "from proxy.simulators.openai import OpenAIStandIn"),
    (no_broad_catch, "proxy/relay.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (no_broad_catch, "proxy/relay.py", "try:\n    f()\nexcept:\n    g()"),
    (
        no_broad_catch,
        "proxy/relay.py",
        "try:\n    f()\nexcept (OSError, BaseException) as e:\n    raise X from e",
    ),
    (no_broad_catch, "proxy/relay.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise"),
    (no_broad_catch, "proxy/relay.py", "with contextlib.suppress(Exception):\n    f()"),
    (no_broad_catch, "proxy/wire/connection.py", "pass"),
    (no_broad_catch, "proxy/wire/connection.py", "try:\n    f()\nexcept Exception:\n    pass\n" * 2),
    (quiet, "proxy/gateway.py", "def f():\n    print('x')"),
    (short, "proxy/x.py", "x = 1\n" * (LONGEST_FILE + 1)),
    (documented, "proxy/x.py", "import re"),
    (finished, "proxy/x.py", '"""x"""\n# TO' + "DO: more"),
    (finished, "proxy/x.py", '"""x"""\nraise NotImplemented' + "Error"),
    (swift, "translators/stream.py", "class Stream:\n    async def feed(self): ..."),
    (swift, "translators/stream.py", "class Stream:\n    def feed(self):\n        log.debug('x')"),
    (swift, "translators/stream.py", "class Stream:\n    def feed(self):\n        self._log.info('x')"),
    (swift, "translators/stream.py", "class Stream:\n    def feed(self):\n        with self.lock: ..."),
    (swift, "translators/stream.py", "class Stream:\n    def feed(self):\n        if x: yield 1"),
    (swift, "translators/stream.py", "class Stream:\n    def feed(self):\n        t = self.now()"),
    (swift, "translators/stream.py", "class Stream:\n    def fed(self): ..."),
    (swift, "proxy/relay.py", "class Relay:\n    def take(self):\n        loop.time()"),
)

GOOD: tuple[tuple[Rule, str, str], ...] = (
    (pure, "translators/x.py", "import re\nfrom collections.abc import Mapping\nimport translators.errors"),
    (pure, "proxy/x.py", "import asyncio"),
    (layered, "translators/upstreams/dify.py", "from translators.events import Text\nimport re"),
    (outward, "proxy/relay.py", "from proxy.wire.base import Tap"),
    (no_broad_catch, "proxy/x.py", "try:\n    f()\nfinally:\n    g()"),
    (no_broad_catch, "proxy/x.py", "try:\n    f()\nexcept (OSError, ValueError):\n    pass"),
    (quiet, "proxy/demo.py", "print('hello')"),
    (documented, "proxy/routes/__init__.py", ""),
    (swift, "proxy/relay.py", "class Relay:\n    def take(self):\n        self.outlet.write(b'')"),
    (
        swift,
        "translators/stream.py",
        "class Stream:\n    def feed(self):\n        try: f()\n        except ValueError: log.error('x')",
    ),
)


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_a_rule_sees_what_breaks_it(rule: Rule, path: str, text: str):
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_a_rule_leaves_the_rest_alone(rule: Rule, path: str, text: str):
    assert list(rule(Source(path, text))) == []
