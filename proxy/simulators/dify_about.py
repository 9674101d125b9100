"""What an app says of itself: its name and mode, its form and features, its tools and its page."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from proxy.simulators.dify_errors import Refused
from proxy.simulators.dify_files import LIMITS
from proxy.simulators.dify_platform import CALLER, PLATFORM, reply


async def info(request: web.Request) -> web.StreamResponse:
    platform, app = request.app[PLATFORM], request[CALLER].app
    told: dict[str, Any] = {"name": app.name, "description": app.description, "tags": []}
    if platform.version.mode_in_info:
        told |= {"mode": app.mode, "author_name": "Stand-in"}
    return reply(told)


def _enabled(value: bool) -> dict[str, bool]:
    return {"enabled": value}


async def parameters(request: web.Request) -> web.StreamResponse:
    caller = request[CALLER]
    app = caller.app
    methods = ["remote_url", "local_file"]
    return reply(
        {
            "opening_statement": app.opening,
            "suggested_questions": [],
            "suggested_questions_after_answer": _enabled(app.suggestions),
            "speech_to_text": _enabled(app.speech_to_text),
            "text_to_speech": {**_enabled(app.text_to_speech), "voice": "alloy", "language": "en-US"},
            "retriever_resource": _enabled(caller.knobs.citations > 0),
            "annotation_reply": _enabled(bool(caller.knobs.annotation)),
            "more_like_this": _enabled(False),
            "user_input_form": [variable.document() for variable in app.form],
            "sensitive_word_avoidance": _enabled(bool(caller.knobs.moderation)),
            "file_upload": {
                **_enabled(bool(app.file_types)),
                "allowed_file_types": list(app.file_types),
                "allowed_file_upload_methods": methods,
                "number_limits": app.max_files,
                "image": {
                    **_enabled("image" in app.file_types),
                    "number_limits": app.max_images,
                    "transfer_methods": methods,
                },
            },
            "system_parameters": {
                "image_file_size_limit": LIMITS["image"],
                "file_size_limit": LIMITS["document"],
                "audio_file_size_limit": LIMITS["audio"],
                "video_file_size_limit": LIMITS["video"],
                "workflow_file_upload_limit": app.max_files,
            },
        }
    )


async def meta(request: web.Request) -> web.StreamResponse:
    tools = request[CALLER].app.mode in ("agent-chat", "agent")
    icon = {"background": "#ffffff", "content": "\U0001f50e"}
    return reply({"tool_icons": {"search": icon} if tools else {}})


async def site(request: web.Request) -> web.StreamResponse:
    app = request[CALLER].app
    if not app.site:
        raise Refused("forbidden", "You don't have the permission to access the requested resource.")
    told = {
        "title": app.name,
        "chat_color_theme": None,
        "chat_color_theme_inverted": False,
        "icon_type": "emoji",
        "icon": "\U0001f916",
        "icon_background": "#ffffff",
        "icon_url": None,
        "description": app.description,
        "copyright": None,
        "privacy_policy": None,
        "custom_disclaimer": "",
        "default_language": "en-US",
        "show_workflow_steps": True,
        "use_icon_as_answer_icon": False,
    }
    return reply(told)
