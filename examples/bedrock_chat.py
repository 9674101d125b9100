"""Stream a chat with an agent of Amazon Bedrock, thoughts first.

Start a gateway first. `make demo` needs no account; with one it is

    AGENT_ID=... AGENT_ALIAS_ID=... AWS_REGION=us-east-1 deltawire serve

and credentials wherever Amazon's own tools find them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or
a role of the machine.

Then:  pip install openai && python examples/bedrock_chat.py "Name a blue bird."
"""

import os
import sys

from openai import OpenAI

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")  # any, unless the gateway has keys
MODEL = os.environ.get("MODEL", "bedrock-demo")  # your own gateway: any name, or "{agent id}/{alias id}"

question = " ".join(sys.argv[1:]) or "Name a blue bird."

with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    thinking = False
    for chunk in stream:
        if chunk.choices:
            delta = chunk.choices[0].delta
            if thought := getattr(delta, "reasoning_content", None):
                thinking = True
                print(thought, end="", flush=True)
            if delta.content:
                print("\n\n" if thinking else "", delta.content, sep="", end="", flush=True)
                thinking = False
        elif chunk.usage:  # the last chunk has no words; -1 where the agent does not tell
            print(f"\n({chunk.usage.total_tokens} tokens)")
