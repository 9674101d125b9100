"""Show a picture, or any other file, to a Dify app.

A file travels inside the request. The gateway hands it in to Dify once, under the name of the same user, and names
it by its id; an address on the web is passed on, and Dify fetches it. Files that the app makes come back as links.

Start a gateway first (`make demo`), then:  python examples/dify_files.py bird.png "Which bird is it?"
"""

import base64
import mimetypes
import os
import sys
from pathlib import Path

from openai import OpenAI
from openai.types.chat import ChatCompletionContentPartParam

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("MODEL", "dify-demo")

# One pixel, for when no file is named.
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGMwSLgAAAIkAWHwF5OQAAAAAElFTkSuQmCC"


def part(path: str) -> ChatCompletionContentPartParam:
    """The file as a part of a message: a picture is shown, anything else is attached."""
    if path.startswith(("http://", "https://")):
        return {"type": "image_url", "image_url": {"url": path}}
    kind = (mimetypes.guess_type(path)[0] if path else "image/png") or "application/octet-stream"
    data = base64.b64encode(Path(path).read_bytes()).decode() if path else DOT
    uri = f"data:{kind};base64,{data}"
    if kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": uri}}
    return {"type": "file", "file": {"filename": Path(path).name, "file_data": uri}}


path = sys.argv[1] if len(sys.argv) > 1 else ""
question = " ".join(sys.argv[2:]) or "What do you see?"

with OpenAI(base_url=BASE_URL, api_key=API_KEY) as client:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": [{"type": "text", "text": question}, part(path)]}],
    )
    print(answer.choices[0].message.content)
