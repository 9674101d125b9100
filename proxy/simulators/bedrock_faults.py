"""How the Bedrock stand-in says no: the exceptions of its services by name, in both forms they have.

Before a stream an exception is a status, a header ``x-amzn-ErrorType`` and a JSON body; inside one it is a frame of
its own kind, named in lowerCamel. The second is the name used everywhere here. A ``Fault`` is raised by whatever
refuses a request; what a service says of its own accord, because a knob or a script wants it, is made of the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from translators import wirejson

STREAMED: Mapping[str, int] = {
    "accessDeniedException": 403,
    "badGatewayException": 502,
    "conflictException": 409,
    "dependencyFailedException": 424,
    "internalServerException": 500,
    "modelNotReadyException": 424,
    "resourceNotFoundException": 404,
    "serviceQuotaExceededException": 400,
    "throttlingException": 429,
    "validationException": 400,
}
"""What may come as a status or as an event."""

STATUSES: Mapping[str, int] = {
    **STREAMED,
    # AgentCore's own.
    "retryableConflictException": 409,
    "runtimeClientError": 424,
    # From in front of the services.
    "expiredTokenException": 403,
    "incompleteSignatureException": 403,
    "invalidSignatureException": 403,
    "missingAuthenticationTokenException": 403,
    "unrecognizedClientException": 403,
    "serializationException": 400,
    "serviceUnavailableException": 503,
    "unknownOperationException": 404,
    "unsupportedMediaTypeException": 415,
}

MESSAGES: Mapping[str, str] = {
    "accessDeniedException": (
        "Access denied when calling Bedrock. Check your request permissions and retry the request."
    ),
    "badGatewayException": "The server encountered an error processing the request of a dependency.",
    "conflictException": "The session is being used by another request. Retry when that one has ended.",
    "dependencyFailedException": "Dependency resource: received model timeout/error exception from Bedrock.",
    "internalServerException": "The server encountered an error processing the request.",
    "modelNotReadyException": "The model is not ready for inference. Try again later.",
    "resourceNotFoundException": (
        "Failed to retrieve resource because it doesn't exist. "
        "Retry your request with a different resource identifier."
    ),
    "serviceQuotaExceededException": "The number of requests exceeds the service quota of this account.",
    "throttlingException": "Your request rate is too high. Reduce the frequency of requests.",
    "validationException": "The request is not valid.",
    "retryableConflictException": "The session is being set up. Retry the request.",
    "runtimeClientError": (
        "Received error (500) from runtime. Please check your CloudWatch logs for more information."
    ),
}


@frozen
class Trouble:
    """One exception: what it is called, what it says and the members beside its message."""

    name: str
    message: str = ""
    beside: Mapping[str, Any] = field(factory=dict)
    """``resourceName`` of some, ``reason`` of internalServerException."""

    @property
    def type(self) -> str:
        """The name of its class in the service model."""
        return self.name[:1].upper() + self.name[1:]

    @property
    def status(self) -> int:
        return STATUSES.get(self.name, 500)

    @property
    def document(self) -> dict[str, Any]:
        return {"message": self.message or MESSAGES.get(self.name, ""), **self.beside}

    @property
    def body(self) -> bytes:
        return wirejson.dumps(self.document)


class Fault(Exception):
    """A request that is refused."""

    def __init__(self, name: str, message: str = "", **beside: Any) -> None:
        super().__init__(name, message)
        self.trouble = Trouble(name, message, beside)


def invalid(message: str) -> Fault:
    return Fault("validationException", message)


def missing() -> Fault:
    return Fault("resourceNotFoundException")
