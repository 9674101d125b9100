"""Stream a chat with a Dify app: a chat, an agent or a chatflow.

Start a gateway first. `make demo` needs no account; with one it is

    DIFY_API_URL=https://api.dify.ai/v1 DIFY_API_KEY=app-... deltawire serve

Without DIFY_API_KEY every client brings its own: the app key is then the api_key below.

Then:  pip install openai && python examples/dify_chat.py "Name a blue bird."
"""

import os
import sys

from openai import OpenAI

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")  # any, unless the gateway has keys or none for Dify
MODEL = os.environ.get("MODEL", "dify-demo")  # your own gateway: any name; the key decides which app it is

question = " ".join(sys.argv[1:]) or "Name a blue bird."

with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
        elif chunk.usage:  # the last chunk has no words
            print(f"\n({chunk.usage.total_tokens} tokens)")
