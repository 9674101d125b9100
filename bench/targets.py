"""What stands between the load and the stand-in, and how each is set up: one function for each.

Every target is what its own documentation advises for production, with one worker, since it is given one CPU, and
with a key where it knows keys; the settings are part of the results. One that is not installed has a reason why it
is missing instead, and the results say so. ``make bench-peers`` installs those that come from registries.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson
from attrs import Factory, frozen

from bench.processes import ROOT
from bench.wires import BEDROCK_AGENT, COZE_BOT

PEERS = ROOT / ".cache" / "peers"
MODEL = "bench"
CHAT = "/v1/chat/completions"
KEY = "sk-bench"
_AUTHORISED = {"Authorization": f"Bearer {KEY}"}


@frozen
class Place:
    """Where a target shall listen, whom it asks, and a folder of its own."""

    port: int
    upstream_port: int
    home: Path

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.upstream_port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"


@frozen
class Target:
    name: str
    command: tuple[str, ...] = ()
    """Nothing for direct."""
    environment: Mapping[str, str] = Factory(dict)
    files: Mapping[str, str] = Factory(dict)
    """What its folder shall hold."""
    headers: Mapping[str, str] = Factory(dict)
    path: str = CHAT
    version: str = ""
    missing: str = ""
    """Why it cannot be measured."""
    slowness: float = 1.0
    """How many times longer it gets to open idle streams."""
    most_idle: int = 5000
    """Idle streams above which it is not asked: it could not open them in the time of the whole run."""

    def settings(self, home: Path) -> str:
        """For the reader of the results; without the paths of this machine."""
        words = [f"{name}={value}" for name, value in self.environment.items() if name != "PYTHONPATH"]
        text = " ".join([*words, *self.command])
        for name, content in self.files.items():
            text += f"\n{name}:\n{content.rstrip()}"
        headers = [f"{name}: {value}" for name, value in self.headers.items()]
        text += "\nasked with " + ", ".join(headers) if headers else ""
        for folder, said in ((PEERS, ""), (ROOT, ""), (home, "HOME/")):
            text = text.replace(f"{folder}/", said)
        return text


GATEWAY_ENVIRONMENT = {
    "openai": {
        "LLAMA_BASE_URL": "{base_url}",
        "LLAMA_MODELS": MODEL,
        "DELTAWIRE_UPSTREAM_LLAMA_MAX_CONCURRENCY": "10000",
    },
    "coze": {
        "COZE_BASE_URL": "{origin}",
        "COZE_API_KEY": "pat_bench",
        "COZE_BOT_ID": COZE_BOT,
        "DELTAWIRE_UPSTREAM_COZE_MAX_CONCURRENCY": "10000",
    },
    "dify": {
        "DIFY_API_URL": "{base_url}",
        "DIFY_API_KEY": "app-bench",
        "DELTAWIRE_UPSTREAM_DIFY_MODE": "advanced-chat",
        "DELTAWIRE_UPSTREAM_DIFY_MAX_CONCURRENCY": "10000",
    },
    "bedrock": {
        "AGENT_ID": BEDROCK_AGENT["agent_id"],
        "AGENT_ALIAS_ID": BEDROCK_AGENT["agent_alias_id"],
        "DELTAWIRE_UPSTREAM_BEDROCK_BASE_URL": "{origin}",
        "DELTAWIRE_UPSTREAM_BEDROCK_REGION": "us-east-1",
        "DELTAWIRE_UPSTREAM_BEDROCK_ACCESS_KEY": "AKIDBENCH",
        "DELTAWIRE_UPSTREAM_BEDROCK_SECRET_KEY": "bench",
        "DELTAWIRE_UPSTREAM_BEDROCK_MAX_CONCURRENCY": "10000",
    },
}
"""What tells the gateway where each platform is, and that it takes more streams at once than the 1,000 of the
default."""


def direct(upstream: str, place: Place) -> Target:
    """Who does not translate is asked for the clients' own dialect, whatever the upstream is."""
    return Target("direct")


_NGINX = """\
worker_processes 1; worker_rlimit_nofile 16384; daemon off; pid {home}/pid; error_log {home}/error.log error;
events {{ worker_connections 16384; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000;
  client_body_temp_path {home}/a; proxy_temp_path {home}/b; fastcgi_temp_path {home}/c;
  uwsgi_temp_path {home}/d; scgi_temp_path {home}/e;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 300s;
    }}
  }}
}}
"""


def nginx(upstream: str, place: Place) -> Target:
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        return Target("nginx", missing="not installed (Debian: apt-get install nginx-light)")
    config = _NGINX.format(home=place.home, upstream=place.upstream_port, port=place.port)
    return Target(
        "nginx",
        (program, "-e", f"{place.home}/error.log", "-c", f"{place.home}/nginx.conf"),
        files={"nginx.conf": config},
        version=_said([program, "-v"]).rpartition("/")[2],
    )


def deltawire(upstream: str, place: Place, flags: tuple[str, ...] = ()) -> Target:
    """``deltawire serve`` as it comes, with a key, and without a line in the log for each request, as nginx."""
    told = {
        name: value.format(base_url=place.base_url, origin=place.origin)
        for name, value in GATEWAY_ENVIRONMENT[upstream].items()
    }
    return Target(
        "deltawire",
        (sys.executable, "-m", "proxy", "serve", "--port", str(place.port), *flags),
        {"PYTHONPATH": str(ROOT), "API_KEYS": KEY, "ENABLE_LOGGING": "false", **told},
        headers=_AUTHORISED,
        version=_said([sys.executable, "-m", "proxy", "--version"], ROOT).rpartition(" ")[2],
    )


_LITELLM = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {base_url}
      api_key: unused
general_settings:
  master_key: {key}
litellm_settings:
  request_timeout: 600
  set_verbose: false
  json_logs: true
"""


def litellm(upstream: str, place: Place) -> Target:
    program = PEERS / "litellm" / "bin" / "litellm"
    missing = _absent("litellm", upstream, program)
    if missing:
        return Target("litellm", missing=missing)
    found = list((PEERS / "litellm").glob("lib/python*/site-packages/litellm-*.dist-info"))
    return Target(
        "litellm",
        (
            str(program),
            *(
                "--config",
                "config.yaml",
                "--host",
                "127.0.0.1",
                "--port",
                str(place.port),
                "--num_workers",
                "1",
            ),
        ),
        {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        {"config.yaml": _LITELLM.format(model=MODEL, base_url=place.base_url, key=KEY)},
        _AUTHORISED,
        version=found[0].name.split("-")[1].removesuffix(".dist") if found else "unknown",
        slowness=6.0,
        most_idle=1000,
    )


def portkey(upstream: str, place: Place) -> Target:
    package = PEERS / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
    program = package / "build" / "start-server.js"
    missing = _absent("portkey", upstream, program)
    node = shutil.which("node")
    if node is None:
        missing = "no node"
    if missing:
        return Target("portkey", missing=missing)
    return Target(
        "portkey",
        (str(node), str(program), f"--port={place.port}", "--headless"),
        {"NODE_ENV": "production"},
        headers={"x-portkey-provider": "openai", "x-portkey-custom-host": place.base_url, **_AUTHORISED},
        version=orjson.loads((package / "package.json").read_bytes())["version"],
        slowness=2.0,
    )


ALL: dict[str, Callable[[str, Place], Target]] = {
    "direct": direct,
    "nginx": nginx,
    "deltawire": deltawire,
    "litellm": litellm,
    "portkey": portkey,
}


def _absent(name: str, upstream: str, program: Path) -> str:
    if upstream != "openai":
        return f"does not speak {upstream} upstream"
    return "" if program.exists() else f"not installed (make bench-peers puts it into .cache/peers/{name})"


def _said(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    return (done.stdout + done.stderr).strip()
