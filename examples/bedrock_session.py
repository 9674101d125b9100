"""A session that an agent keeps: found by the client's history, or named.

The client sends its whole history every time, as chat clients do. The gateway finds the session that this history
comes from and sends the agent the newest message only. Whoever names a session, here in the header x-session-id,
can leave the history out. `end_session` ends it.

Start a gateway first (`make demo`), then:  python examples/bedrock_session.py
"""

import os

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("MODEL", "bedrock-demo")


def ask(
    client: OpenAI, messages: list[ChatCompletionMessageParam], session: str = "", **more: object
) -> tuple[str, str]:
    """The answer, and the session that it belongs to."""
    headers = {"x-session-id": session} if session else {}
    # The raw response is only needed to see the headers; parse() gives the usual object.
    response = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=messages, extra_headers=headers, extra_body=more
    )
    return response.parse().choices[0].message.content or "", response.headers["x-session-id"]


with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    messages: list[ChatCompletionMessageParam] = []
    session = ""
    for words in ("My name is Ada.", "Count to 3.", "What is my name?"):
        messages.append({"role": "user", "content": words})
        said, session = ask(client, messages)
        messages.append({"role": "assistant", "content": said})
        print(f"{session}  you: {words}\n{session}  agent: {said}")

    said, same = ask(client, [{"role": "user", "content": "Count to 5."}], session)
    print(f"{same}  by its name: {said}")

    said, same = ask(client, [{"role": "user", "content": "Goodbye."}], session, end_session=True)
    print(f"{same}  ended: {said}")
