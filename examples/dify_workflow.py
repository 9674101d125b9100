"""Run a Dify workflow.

What you say goes into the workflow's text variable; with more than one, `input_variable` in the configuration says
which. Other variables go beside the messages, as `inputs`. The answer is what the workflow streams, or else its
output.

Start a gateway first (`make demo`), then:  python examples/dify_workflow.py "A trip to the sea." tone=dry
"""

import os
import sys

from openai import OpenAI

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("MODEL", "dify-workflow-demo")

inputs = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
words = " ".join(word for word in sys.argv[1:] if "=" not in word) or "A trip to the sea."

with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": words}],
        stream=True,
        extra_body={"inputs": inputs},
    )
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()
