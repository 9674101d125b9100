"""What Dify says no with: a table of codes, and the three shapes a wrong field has had.

A handler raises ``Refused`` by code; ``FieldsRefused`` is worded by the version that answers. Codes, statuses and
messages are the platform's own, to the letter, because clients match on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from proxy.simulators.dify_versions import Version

REFUSALS: dict[str, tuple[int, str]] = {
    "unauthorized": (401, "Access token is invalid"),
    "forbidden": (403, "The app's API service has been disabled."),
    "not_found": (404, "Not Found"),
    "unsupported_media_type": (
        415,
        "Did not attempt to load JSON data because the request Content-Type was not 'application/json'.",
    ),
    "bad_request": (400, "The browser (or proxy) sent a request that this server could not understand."),
    "invalid_param": (400, ""),
    "method_not_allowed": (405, "The method is not allowed for the requested URL."),
    "request_entity_too_large": (413, "The data value transmitted exceeds the capacity limit."),
    "not_chat_app": (400, "Please check if your app mode matches the right API route."),
    "not_workflow_app": (400, "Please check if your app mode matches the right API route."),
    "app_unavailable": (400, "App unavailable, please check your app configurations."),
    "agent_not_published": (400, "The agent has not been published."),
    "conversation_completed": (400, "The conversation has ended. Please start a new conversation."),
    "provider_not_initialize": (
        400,
        "No valid model provider credentials found. "
        "Please go to Settings -> Model Provider to complete your provider credentials.",
    ),
    "provider_quota_exceeded": (400, "Your model provider quota has been exhausted."),
    "model_currently_not_support": (400, "The model is currently not supported."),
    "completion_request_error": (400, "Completion request failed."),
    "too_many_requests": (429, "Too many requests. Please try again later."),
    "rate_limit_error": (429, "Rate Limit Error"),
    "workflow_version_execution_not_allowed": (403, "Your plan does not run pinned workflow versions."),
    "no_file_uploaded": (400, "Please upload your file."),
    "too_many_files": (400, "Only one file is allowed."),
    "filename_not_exists_error": (400, "The specified filename does not exist."),
    "file_too_large": (413, ""),
    "unsupported_file_type": (415, "File type not allowed."),
    "file_not_found": (404, "The requested file was not found."),
    "file_access_denied": (403, "Access to the requested file is denied."),
    "speech_to_text_disabled": (400, "Speech to text is not enabled"),
    "no_audio_uploaded": (400, "Please upload your audio."),
    "audio_too_large": (413, "Audio size exceeded. Audio size larger than 30 mb"),
    "unsupported_audio_type": (415, "Audio type not allowed."),
    "human_input_form_submitted": (412, "The form has been submitted."),
    "human_input_form_expired": (412, "The form has expired."),
    "invalid_form_data": (400, "Invalid form data."),
    "internal_server_error": (500, "Internal Server Error, please contact support."),
    "unknown": (500, "Internal Server Error"),
}
"""The status and the usual message of each code."""


class Refused(Exception):
    """One answer that is an error."""

    def __init__(self, code: str, message: str | None = None, status: int | None = None) -> None:
        usual_status, usual_message = REFUSALS.get(code, (400, ""))
        self.code = code
        self.message = usual_message if message is None else message
        self.status = usual_status if status is None else status
        super().__init__(self.message)

    def document(self, version: Version) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "status": self.status}


def invalid(message: str) -> Refused:
    return Refused("invalid_param", message)


@frozen
class Wrong:
    """What is wrong with one field of a body."""

    field: str
    reason: str
    """As pydantic says it."""
    kind: str
    """Pydantic's name for it."""
    value: Any


class FieldsRefused(Refused):
    """A body that does not have the shape it must have."""

    def __init__(self, model: str, wrongs: tuple[Wrong, ...]) -> None:
        super().__init__("invalid_param", "")
        self._model, self._wrongs = model, wrongs

    def document(self, version: Version) -> dict[str, Any]:
        first = self._wrongs[0]
        if version.field_errors == "map":
            errors = {wrong.field: wrong.reason for wrong in self._wrongs}
            return {"errors": errors, "message": "Input payload validation failed"}
        if version.field_errors == "sentence":
            return {"code": self.code, "message": first.reason, "params": first.field, "status": self.status}
        count = len(self._wrongs)
        lines = [f"{count} validation error{'s' if count > 1 else ''} for {self._model}"]
        for wrong in self._wrongs:
            told = f"input_value={wrong.value!r:.120}, input_type={type(wrong.value).__name__}"
            lines += [wrong.field, f"  {wrong.reason} [type={wrong.kind}, {told}]"]
            lines.append(f"    For further information visit https://errors.pydantic.dev/2.12/v/{wrong.kind}")
        return {"code": self.code, "message": "\n".join(lines), "status": self.status}


def challenge(error: Refused) -> Mapping[str, str]:
    """The headers that go with an error."""
    return {"WWW-Authenticate": 'Bearer realm="api"'} if error.status == 401 else {}
