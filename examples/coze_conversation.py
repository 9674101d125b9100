"""A conversation that Coze remembers: only the newest message is sent, the bot knows the rest.

The first request has no conversation yet: the gateway creates one and tells its id in the header x-conversation-id.
Every request that brings this id goes on there. Afterwards the history is read, and the conversation deleted.

Start a gateway first (`make demo`), then:  python examples/coze_conversation.py
"""

import os

from openai import OpenAI

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("MODEL", "coze-demo")

with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    conversation_id = ""
    for words in ("My name is Ada.", "What is my name?"):
        headers = {"x-model-type": "conversation"}
        if conversation_id:
            headers["x-conversation-id"] = conversation_id
        # The raw response is only needed to see the headers; parse() gives the usual object.
        response = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": words}], extra_headers=headers
        )
        conversation_id = response.headers["x-conversation-id"]
        print(f"you: {words}")
        print(f"bot: {response.parse().choices[0].message.content}")

    # The conversation routes are not part of chat completions: get() asks for any path under the base URL.
    history = client.get(f"/conversations/{conversation_id}/history?order=asc", cast_to=dict[str, object])
    messages = history["data"]
    assert isinstance(messages, list)
    print(f"{len(messages)} messages are kept in {conversation_id}")

    print("deleted:", client.conversations.delete(conversation_id).deleted)
