"""Every route of the gateway, one row each: of these rows the application is built, and its description.

Whoever adds a route adds a row here and, where its bodies are new, their schemas to ``proxy.describe_schemas``. A
test holds the application and the description against each other, and real answers against the schemas.
"""

from __future__ import annotations

from functools import cache

from aiohttp import web

from proxy.describe import EVENTS, FORM, PAGE, Query, Route, delete, document, get, json_of, named, post
from proxy.headers import HEADERS
from proxy.heads import CHAT
from proxy.keys import GATEWAY
from proxy.routes import audio, conversations, docs, embeddings, health, models, workflows
from proxy.routes.chat import Chats
from proxy.routes.table_files import FILE_ROUTES, FILE_TAGS
from translators import wirejson

KEPT = "/v1/conversations"
SESSIONS = "/v1/workflows/sessions"

TAGS = {
    "chat": "Answers, whole or one token at a time.",
    "embeddings": "Vectors of texts.",
    "models": "What can be asked.",
    "audio": "Recordings to words and words to sound.",
    "conversations": "What a platform keeps of its conversations.",
    "workflows": "Workflow runs.",
    **FILE_TAGS,
    "gateway": "The gateway itself.",
}
"""The groups of the description, by what follows /v1/ in a path."""

_UPSTREAM = Query("upstream", "Which upstream, where several could be meant.", {"type": "string"})
_MODE = Query("mode", "Whether all of it goes, or what was said.", {"enum": ["delete", "clear"]})
_LISTED = (*PAGE, _UPSTREAM)
_TEXT = {"type": "string"}
_SOUND = {"type": "string", "format": "binary"}
_STREAMS = (
    "With `stream` the answer comes as events: the data of each is a ChatChunk, and of the last `[DONE]`."
)


async def _chat(request: web.Request) -> web.StreamResponse:
    return await Chats(request.app[GATEWAY], request.app[HEADERS]).create(request)


ROUTES: tuple[Route, ...] = (
    post(
        *(CHAT, _chat, "createChatCompletion", "Ask for an answer"),
        body=json_of("ChatRequest"),
        answer={**json_of("ChatCompletion"), EVENTS: _TEXT},
        about=_STREAMS,
    ),
    post(
        *("/v1/embeddings", embeddings.create, "createEmbedding", "Make vectors of texts"),
        body=json_of("EmbeddingRequest"),
        answer=json_of("EmbeddingList"),
    ),
    post(
        *("/v1/audio/transcriptions", audio.transcriptions, "createTranscription", "Hear a recording"),
        body={FORM: named("TranscriptionRequest")},
        answer={**json_of("Transcription"), "text/plain": _TEXT},
    ),
    post(
        *("/v1/audio/speech", audio.speech, "createSpeech", "Speak a text"),
        body=json_of("SpeechRequest"),
        answer={"audio/*": _SOUND},
    ),
    get("/v1/models", models.index, "listModels", "List all models", json_of("ModelList")),
    get("/v1/models/{id:.+}", models.show, "retrieveModel", "Look up a model", json_of("Model")),
    get(
        *(KEPT, conversations.index, "listConversations", "List conversations"),
        answer=json_of("ConversationList"),
        query=_LISTED,
    ),
    post(
        *(KEPT, conversations.create, "createConversation", "Begin a conversation"),
        body=json_of("ConversationRequest"),
        needs_body=False,
        answer=json_of("Conversation"),
        query=(_UPSTREAM,),
    ),
    get(
        *(KEPT + "/{id}", conversations.show, "retrieveConversation", "Look up a conversation"),
        answer=json_of("Conversation"),
        query=(_UPSTREAM,),
    ),
    delete(
        *(KEPT + "/{id}", conversations.delete, "deleteConversation", "Delete a conversation"),
        answer=json_of("Conversation"),
        query=(_MODE, _UPSTREAM),
    ),
    get(
        *(KEPT + "/{id}/history", conversations.history, "listMessages", "List what was said"),
        answer=json_of("MessageList"),
        query=_LISTED,
    ),
    post(
        *(KEPT + "/{id}/messages", conversations.add, "createMessage", "Say something, unanswered"),
        body=json_of("ChatMessage"),
        answer=json_of("Message"),
        query=(_UPSTREAM,),
    ),
    get(
        *(SESSIONS, workflows.index, "listSessions", "List one's own workflow runs"),
        answer=json_of("SessionList"),
        query=_LISTED,
    ),
    get(
        *(SESSIONS + "/{id}", workflows.show, "retrieveSession", "Look up a workflow run"),
        answer=json_of("Session"),
        query=(_UPSTREAM,),
    ),
    *FILE_ROUTES,
    get(
        "/health",
        health.health,
        "health",
        "Version and upstreams",
        json_of("Health"),
        is_open=True,
        head=True,
    ),
    get("/livez", health.live, "livez", "Does it live?", json_of("Status"), is_open=True, head=True),
    get(
        *("/readyz", health.ready, "readyz", "Should it be sent requests?"),
        answer=json_of("Status"),
        also={503: json_of("Status")},
        is_open=True,
        head=True,
    ),
    get(
        "/openapi.json", docs.description, "openapi", "This description", json_of("Description"), is_open=True
    ),
    get("/docs", docs.page, "docs", "This description as a page", {"text/html": _TEXT}, is_open=True),
    get(
        *(f"/docs/{docs.SCRIPT}", docs.asset, "docsScript", "What the page is made with"),
        answer={"text/javascript": _TEXT},
        is_open=True,
    ),
    get(
        *(f"/docs/{docs.LICENCES}", docs.asset, "docsLicences", "The licences of what the page is made with"),
        answer={"text/plain": _TEXT},
        is_open=True,
    ),
)


@cache
def description() -> bytes:
    """What ``/openapi.json`` says."""
    return wirejson.dumps(document(ROUTES, TAGS))
