"""The UI Message Stream convention, version 1, as events ready to be sent.

https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol (the "data stream protocol"). Each function
returns one event as JSON bytes; the sender frames them.
"""

from typing import Any

import orjson

from xwe.core.nlp.completion import Usage
from xwe.errors import XweError
from xwe.streams.answer import Outcome

HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}
DONE = b"[DONE]"
"""What ends a stream, after its last event; it has no number."""

START_STEP = b'{"type":"start-step"}'
FINISH_STEP = b'{"type":"finish-step"}'
ABORT = b'{"type":"abort"}'


def event(kind: str, **fields: Any) -> bytes:
    """Any event of the convention."""
    # Copied: orjson's result holds on to a buffer of four kilobytes, and these events are kept by
    # the hundred thousand.
    return b"%b" % orjson.dumps({"type": kind, **fields})


def start(message_id: str) -> bytes:
    """The first event."""
    return event("start", messageId=message_id)


def delta(kind: str, part_id: str, text: str) -> bytes:
    """A piece of the "text" or "reasoning" part that its `-start` event began."""
    # By far the most frequent event, and this is the quickest way to one of its own size.
    return b'{"type":"%b-delta","id":"%b","delta":%b}' % (
        kind.encode(),
        part_id.encode(),
        orjson.dumps(text),
    )


def finish(reason: str | None, usage: Usage | None) -> bytes:
    """The last event of an answer that reached its end."""
    counts = usage and {
        "promptTokens": usage.prompt_tokens,
        "completionTokens": usage.completion_tokens,
        "totalTokens": usage.total_tokens,
    }
    return event("finish", messageMetadata={"finishReason": reason, "usage": counts})


def error(failure: XweError) -> bytes:
    """The error that ended the answer; `errorText` is for people, the rest is ours."""
    return event("error", errorText=failure.message, code=failure.code, retryable=failure.retryable)


SHUTDOWN_TYPE = "data-shutdown"
SHUTDOWN = event(SHUTDOWN_TYPE, data={"retryable": True}, transient=True)
"""The last event of an answer that the server's end cut off."""


def closing(outcome: Outcome) -> list[bytes]:
    """The last event of an answer that is not complete; none for one that is."""
    if outcome.kind == "failed":
        return [error(outcome.error or XweError())]
    return {"complete": [], "stopped": [ABORT], "shutdown": [SHUTDOWN]}[outcome.kind]
