"""WordLlama: a real, small model of this process, if the extra ``embeddings`` is installed.

Its weights come inside its wheel: nothing is fetched, ever. It is loaded by whoever asks first, in that one's
thread. A text's vector is the mean of its words' vectors, so the first numbers of it are a good shorter one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import define, field

from translators.embeddings import Embed, rendered
from translators.errors import BadRequest, GatewayError, UpstreamNotReady

SIZE = 256
LONGEST_TEXT = 64 * 1024
"""Characters; a mean of more words says nothing of any of them."""


def installed() -> bool:
    return find_spec("wordllama") is not None


@define(eq=False)
class WordLlama:
    _loading: threading.Lock = field(factory=threading.Lock)
    _model: Any = None

    def vectors(self, embed: Embed) -> Iterator[tuple[list[float], int]]:
        """For each input its vector and its number of tokens; raises GatewayError."""
        size = embed.dimensions or SIZE
        if size > SIZE:
            raise _wrong("dimensions", f"{size} is greater than the {SIZE} that this model has")
        for number, text in enumerate(embed.inputs):
            if not isinstance(text, str):
                raise _wrong("input", "this model has tokens of its own and takes text only")
            if len(text) > LONGEST_TEXT:
                raise _wrong(f"input[{number}]", f"more than {LONGEST_TEXT} characters")
        model = self._loaded()
        for text in embed.inputs:
            yield _vector(model, str(text), size)

    def _loaded(self) -> Any:
        with self._loading:
            if self._model is None:
                self._model = _load()
            return self._model


def _load() -> Any:
    try:
        import wordllama
    except ImportError:
        raise UpstreamNotReady(
            "This gateway has no model for that: its operator has to install deltawire[embeddings]."
        ) from None
    home = Path(wordllama.__file__).parent  # it looks for its own files under a name they do not have
    return wordllama.WordLlama.load(cache_dir=home, disable_download=True)


def _vector(model: Any, text: str, size: int) -> tuple[list[float], int]:
    words = model.tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids
    mean = model.embedding[words, :size].mean(axis=0) if words else model.embedding[0, :size]
    vector = [float(part) for part in mean]
    length = math.sqrt(math.fsum(part * part for part in vector)) or 1.0
    return [part / length for part in vector], len(words)


def _wrong(param: str, why: str) -> GatewayError:
    return BadRequest(f"Invalid '{param}': {why}.", param=param, code="invalid_value")


_WORDLLAMA = WordLlama()


def compute(name: str, embed: Embed) -> Iterator[bytes]:
    """The answer of the model of that name. Nothing happens before the first piece is asked for."""
    return rendered(embed, _MODELS[name].vectors(embed))


_MODELS = {"wordllama": _WORDLLAMA}
