"""Show a picture, or any other file, to an agent, and keep the files that it makes.

A file travels inside the request, or lies in S3 already (s3://bucket/key); addresses on the web are not fetched.
What the agent's code interpreter makes stands in the answer as links with the data in them.

Start a gateway first (`make demo`), then:  python examples/bedrock_files.py sales.csv "Draw a chart of it."
"""

import base64
import mimetypes
import os
import re
import sys
from pathlib import Path

from openai import OpenAI
from openai.types.chat import ChatCompletionContentPartParam

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:3000/v1")
API_KEY = os.environ.get("OPENAI_API_KEY", "none")
MODEL = os.environ.get("MODEL", "bedrock-demo")

# One pixel, for when no file is named.
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGMwSLgAAAIkAWHwF5OQAAAAAElFTkSuQmCC"
LINK = re.compile(r"!?\[([^]]*)\]\(data:[^;]*;base64,([^)]*)\)")


def part(path: str) -> ChatCompletionContentPartParam:
    """The file as a part of a message: a picture is shown, anything else is attached."""
    if path.startswith("s3://"):
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
    said = answer.choices[0].message.content or ""
    print(LINK.sub(r"\1", said).strip())
    for name, data in LINK.findall(said):
        file = Path(Path(name).name)  # never a place that the answer chooses
        file.write_bytes(base64.b64decode(data))
        print(f"wrote {file}")
