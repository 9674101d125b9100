"""Run a Coze workflow, and answer it if it asks something.

What you say becomes the workflow's parameter `input`; others go beside the messages, in Python as
extra_body={"workflow_parameters": {...}}. A workflow that asks the user something ends its answer with the
question. The next request with the same x-conversation-id resumes it there, with your words as the reply.

Start a gateway first (`make demo`), then:  python examples/coze_workflow.py "A trip to the sea."
"""

import os
import sys

from openai import OpenAI

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("MODEL", "coze-workflow-demo")  # your own gateway: "coze/workflow/7..."

words = " ".join(sys.argv[1:]) or "A trip to the sea."

with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    headers: dict[str, str] = {}
    while words:
        response = client.chat.completions.with_raw_response.create(
            model=MODEL,
            messages=[{"role": "user", "content": words}],
            stream=True,
            extra_headers=headers,
        )
        for chunk in response.parse():
            print(chunk.choices[0].delta.content or "", end="", flush=True)
        print()

        # Which session it was, and whether it waits for a reply.
        session_id = response.headers["x-conversation-id"]
        session = client.get(f"/workflows/sessions/{session_id}", cast_to=dict[str, object])
        print(f"({session['status']})")
        headers = {"x-conversation-id": session_id}
        words = input("> ") if session["status"] == "interrupted" else ""
