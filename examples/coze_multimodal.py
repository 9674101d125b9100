"""Show a picture to a Coze bot.

A file travels inside the request as a data URI. The gateway hands it in to Coze once and names it by its id from
then on, so sending the same picture in every turn, as chat clients do, costs one upload.

Start a gateway first (`make demo`), then:  python examples/coze_multimodal.py bird.png "Which bird is it?"
"""

import base64
import mimetypes
import os
import sys
from pathlib import Path

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("MODEL", "coze-demo")

# One pixel, for when no file is named.
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGMwSLgAAAIkAWHwF5OQAAAAAElFTkSuQmCC"


def data_uri(path: str) -> str:
    kind = mimetypes.guess_type(path)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


path = sys.argv[1] if len(sys.argv) > 1 else ""
question = " ".join(sys.argv[2:]) or "What do you see?"
picture = data_uri(path) if path else f"data:image/png;base64,{DOT}"

messages: list[ChatCompletionMessageParam] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": question},
            {"type": "image_url", "image_url": {"url": picture}},  # an https:// address works as well
        ],
    }
]
with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    for another in ("Are you sure?", ""):
        answer = client.chat.completions.create(model=MODEL, messages=messages)
        said = answer.choices[0].message.content or ""
        print(said)
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": another}]
