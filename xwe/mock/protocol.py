"""The server's side of the wire format: replies, chunks and errors, as in the official API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from xwe.mock.tokens import split_tokens

DEMO_MODEL: Final = "xwe-demo"
EMBEDDING_MODEL: Final = "xwe-demo-embedding"
FINGERPRINT: Final = "fp_xwe_demo"

DONE: Final = b"[DONE]"
# The error object's "type" for each status; others are "server_error".
ERROR_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


@dataclass(frozen=True, slots=True)
class ReplyToolCall:
    """A tool call of the reply; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReply:
    """The demo model's reply, before it is encoded.

    Attributes:
        text: text before the tool calls.
        finish_reason: None leaves it out.
        prompt_tokens: an estimate.
        tool_calls: in the order in which the model begins them.
        text_after: text after the tool calls.
        reasoning: sent before everything else.
        has_argument_objects: whether a plain reply has arguments as JSON objects, not as text.
    """

    text: str | None
    finish_reason: str | None
    prompt_tokens: int
    tool_calls: tuple[ReplyToolCall, ...] = ()
    text_after: str | None = None
    reasoning: str | None = None
    has_argument_objects: bool = False

    def usage(self) -> dict[str, int]:
        """The wire's usage object."""
        completion = sum(
            len(split_tokens(part))
            for part in (
                self.reasoning,
                self.text,
                *(call.arguments for call in self.tool_calls),
                self.text_after,
            )
            if part
        )
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        }


@dataclass(frozen=True, slots=True)
class CompletionIdentity:
    """What identifies a completion; every chunk of it repeats this."""

    id: str
    created: int
    model: str
    with_usage: bool = field(default=False)


def arguments_object(call: ReplyToolCall) -> Any:
    """The arguments as a JSON value, as some providers send them; broken ones remain text."""
    try:
        return orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return call.arguments


def encode_completion(identity: CompletionIdentity, reply: ModelReply) -> bytes:
    """A plain reply's body."""
    content = reply.text
    if reply.text_after is not None:
        content = (content or "") + reply.text_after
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": (
                        arguments_object(call) if reply.has_argument_objects else call.arguments
                    ),
                },
            }
            for call in reply.tool_calls
        ]
    return orjson.dumps(
        {
            "id": identity.id,
            "object": "chat.completion",
            "created": identity.created,
            "model": identity.model,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": reply.finish_reason,
                }
            ],
            "usage": reply.usage(),
            "system_fingerprint": FINGERPRINT,
        }
    )


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error reply: the protocol's error object and the status."""

    message: str
    param: str | None = None
    code: str | None = None
    status: int = 400


def encode_error(refusal: ErrorReply) -> bytes:
    """An error reply's body."""
    kind = ERROR_TYPES.get(refusal.status, "server_error")
    if refusal.code == "insufficient_quota":
        kind = refusal.code
    return orjson.dumps(
        {
            "error": {
                "message": refusal.message,
                "type": kind,
                "param": refusal.param,
                "code": refusal.code,
            }
        }
    )


class ChunkEncoder:
    """Makes the chunks of one streamed completion; their common part is encoded once.

    Attributes:
        head: the part of each chunk before its delta object.
        tail: the part after it.
    """

    __slots__ = ("_usage_head", "head", "tail")

    def __init__(self, identity: CompletionIdentity) -> None:
        shared = orjson.dumps(
            {
                "id": identity.id,
                "object": "chat.completion.chunk",
                "created": identity.created,
                "model": identity.model,
                "system_fingerprint": FINGERPRINT,
            }
        )[:-1]
        self.head = shared + b',"choices":[{"index":0,"delta":'
        usage = b',"usage":null}' if identity.with_usage else b"}"
        self.tail = b',"logprobs":null,"finish_reason":null}]' + usage
        self._usage_head = shared + b',"choices":[],"usage":'

    def opening(self) -> bytes:
        """The first chunk: the role, with no text yet."""
        return self.delta(b'{"role":"assistant","content":"","refusal":null}')

    def delta(self, encoded: bytes) -> bytes:
        """A chunk with an encoded delta object."""
        return self.head + encoded + self.tail

    def finish(self, reason: str) -> bytes:
        """The chunk with the finish reason."""
        tail = self.tail.replace(b'"finish_reason":null', b'"finish_reason":"%b"' % reason.encode())
        return self.head + b"{}" + tail

    def usage(self, usage: Mapping[str, int]) -> bytes:
        """The last chunk, for clients that requested the usage."""
        return self._usage_head + orjson.dumps(usage) + b"}"


def encode_models(names: Sequence[str], created: int) -> bytes:
    """The list of models."""
    return orjson.dumps({"object": "list", "data": [_model(name, created) for name in names]})


def encode_model(name: str, created: int) -> bytes:
    """One model."""
    return orjson.dumps(_model(name, created))


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "xwe"}


def encode_embeddings(vectors: Sequence[Any], model: str, tokens: int) -> bytes:
    """Embeddings in the order of their texts, each a list of numbers or base64."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})
