"""Do what an agent asks for: functions of an action group that returns control.

An agent whose action group returns control does not call a Lambda function: it tells its client what to call, and
goes on with the results. Here that is OpenAI's tool calling. Which functions there are was decided when the agent
was built, so the request does not list them; the agent of the demo can `track` parcels.

Start a gateway first (`make demo`), then:  python examples/bedrock_tools.py "Please track parcel 77."
"""

import json
import os
import sys

from openai import OpenAI
from openai.types.chat import (
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionMessageParam,
)

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("MODEL", "bedrock-demo")


def track(parcel: int) -> str:
    return f"Parcel {parcel} is in Ulm."


FUNCTIONS = {"track": track}

question = " ".join(sys.argv[1:]) or "Please track parcel 77."
messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": question}]

with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    while True:
        message = client.chat.completions.create(model=MODEL, messages=messages).choices[0].message
        if not message.tool_calls:
            break
        calls = [
            call for call in message.tool_calls if isinstance(call, ChatCompletionMessageFunctionToolCall)
        ]
        asked: list[ChatCompletionMessageFunctionToolCallParam] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in calls
        ]
        messages.append({"role": "assistant", "tool_calls": asked})
        # The agent waits for all of its calls: one message for each, in the same request.
        for call in calls:
            arguments = json.loads(call.function.arguments)
            result = FUNCTIONS[call.function.name](**arguments)
            print(f"{call.function.name}({call.function.arguments}) = {result}")
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    print(message.content)
