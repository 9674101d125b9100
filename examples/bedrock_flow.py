"""Run a flow of Amazon Bedrock, and answer it if it asks something.

What you say is the document of the flow's input node. A flow with an agent in it may ask back: then its question is
the answer, and the next message of the same chat goes to the node that asked.

Start a gateway first. `make demo` needs no account; with one the file deltawire.toml is

    [upstreams.trips]
    kind = "bedrock"
    flow = "ABCDEF1234"
    flow_alias = "GHIJKL5678"
    models = ["trips"]

Then:  python examples/bedrock_flow.py "A trip to the sea."
"""

import os
import sys

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("MODEL", "bedrock-flow-demo")

words = " ".join(sys.argv[1:]) or "A trip to the sea."
messages: list[ChatCompletionMessageParam] = []

with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    while words:
        messages.append({"role": "user", "content": words})
        said = ""
        for chunk in client.chat.completions.create(model=MODEL, messages=messages, stream=True):
            piece = chunk.choices[0].delta.content or ""
            said += piece
            print(piece, end="", flush=True)
        print()
        messages.append({"role": "assistant", "content": said})
        # If the flow has asked, this is its answer; if it is done, it begins anew. An empty line ends it.
        print("> ", end="", flush=True)
        words = next(sys.stdin, "").strip()
