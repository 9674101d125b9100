"""A conversation that Dify keeps, with a client that knows nothing of it.

The client sends its whole history every time, as chat clients do. The gateway finds the conversation that this
history comes from and sends Dify the newest message only. A history that was edited comes from nowhere: it begins a
new conversation. Whoever wants to choose names a conversation by its id.

Start a gateway first (`make demo`), then:  python examples/dify_conversation.py
"""

import os

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("MODEL", "dify-demo")


def ask(client: OpenAI, messages: list[ChatCompletionMessageParam], **more: object) -> tuple[str, str]:
    """The answer, and the conversation that it belongs to."""
    # The raw response is only needed to see the headers; parse() gives the usual object.
    response = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=messages, user="ada", extra_body=more
    )
    return response.parse().choices[0].message.content or "", response.headers["x-conversation-id"]


with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    messages: list[ChatCompletionMessageParam] = []
    for words in ("My name is Ada.", "Count to 3.", "What is my name?"):
        messages.append({"role": "user", "content": words})
        said, conversation = ask(client, messages)
        messages.append({"role": "assistant", "content": said})
        print(f"{conversation}  you: {words}\n{conversation}  bot: {said}")

    messages[0] = {"role": "user", "content": "My name is Eve."}
    said, other = ask(client, [*messages, {"role": "user", "content": "Count to 4."}])
    print(f"{other}  after an edited turn: {said}")

    said, again = ask(client, [{"role": "user", "content": "Count to 5."}], conversation_id=conversation)
    print(f"{again}  by its id: {said}")
