"""From a reply's bytes to its pieces, for every transport. No I/O."""

from collections.abc import Iterable

from xwe.core.nlp.completion import Delta
from xwe.core.nlp.sse import SSEDecoder
from xwe.core.nlp.wire import DONE, MAX_BODY_BYTES, delta_from_reply, parse_delta, parse_reply
from xwe.errors import ProviderBadReplyError, ProviderError, StreamInterruptedError

REFUSAL_BYTES = 1 << 16
"""How much of an error reply is read; what matters is at its start."""

_WHOLE_STARTS = (b"{", b"[", b"<")


class WholeBody:
    """Collects a body up to the limit.

    In pieces: a growing buffer is copied now and then, and exists twice while it is.
    """

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            ProviderBadReplyError: the body is too large.
        """
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            self._parts.clear()
            raise _too_large("reply")
        self._parts.append(chunk)

    def joined(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)


class DeltaReader:
    """Turns the body of a streamed reply into deltas, and decides how it ended.

    ::

        while not reader.done:
            for delta in reader.feed(await read()):   # b"" at the end of the body
                yield delta
        reader.raise_failure()

    Args:
        content_type: the reply's header. Servers that do not stream answer with one JSON object,
            and some mislabel their streams; if it is not `text/event-stream`, the first bytes
            decide.
        hidden: texts that an error must not show.

    Attributes:
        done: nothing more is expected.
        finished: a finish_reason came; nothing from now on is a failure.
    """

    __slots__ = (
        "_any_delta",
        "_decoder",
        "_failure",
        "_hidden",
        "_received",
        "_whole",
        "done",
        "finished",
    )

    def __init__(self, content_type: str, hidden: Iterable[str] = ()) -> None:
        is_stream = content_type.lower().startswith("text/event-stream")
        self._decoder: SSEDecoder | None = SSEDecoder() if is_stream else None
        self._whole: WholeBody | None = None
        self._hidden = hidden
        self._received = 0
        self._any_delta = False
        self._failure: ProviderError | None = None
        self.done = False
        self.finished = False

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas that these bytes complete. A failure is raised later, by `raise_failure`."""
        if self.done:
            return []
        if self._decoder is None:
            return self._feed_unlabelled(chunk)
        if not chunk:
            self._end()
            return []
        self._received += len(chunk)
        if self._received > MAX_BODY_BYTES:
            self.fail(_too_large("stream"), "too_large")
            return []
        return self._take(self._decoder, chunk)

    def fail(self, error: ProviderError, reason: str, cause: BaseException | None = None) -> None:
        """The stream broke: `error` if nothing was delivered, otherwise an interruption.

        Args:
            error: what happened.
            reason: the reason for a `StreamInterruptedError`.
            cause: the foreign exception behind it.
        """
        self.done = True
        if self.finished:
            return
        if cause is not None:
            error.__cause__ = cause
        if self._any_delta:
            self._failure = StreamInterruptedError(
                f"The reply broke off. {error.message}", reason=reason
            )
            self._failure.__cause__ = error
        else:
            self._failure = error

    def raise_failure(self) -> None:
        """Raise the failure, if there was one."""
        if self._failure is not None:
            raise self._failure

    def _take(self, decoder: SSEDecoder, chunk: bytes) -> list[Delta]:
        deltas: list[Delta] = []
        try:
            for data in decoder.feed(chunk):
                if data == DONE:
                    self._end()
                    break
                delta = parse_delta(data, self._hidden) if data else None
                if delta is None:
                    continue
                deltas.append(delta)
                self._any_delta = True
                if delta.finish_reason is not None:
                    self.finished = True
                if delta.usage is not None and self.finished:
                    self.done = True
                    break
        except StreamInterruptedError as error:
            self.fail(ProviderBadReplyError(error.message), "too_large")
        except ProviderError as error:
            self.fail(error, "error")
        return deltas

    def _end(self) -> None:
        if self._any_delta:
            error = ProviderBadReplyError("The provider's stream ended without a finish_reason.")
        else:
            error = ProviderBadReplyError("The provider's stream ended before it said anything.")
        self.fail(error, "truncated")

    def _feed_unlabelled(self, chunk: bytes) -> list[Delta]:
        if self._whole is None:
            start = chunk.lstrip(b" \t\r\n")[:1]
            if chunk and not start:
                return []  # some servers send white space while they work
            if start and start not in _WHOLE_STARTS:
                self._decoder = SSEDecoder()
                return self.feed(chunk)
            self._whole = WholeBody()
        try:
            if chunk:
                self._whole.add(chunk)
                return []
            reply = parse_reply(self._whole.joined(), self._hidden)
        except ProviderError as error:
            self.fail(error, "error")
            return []
        self.done = self.finished = True
        return [delta_from_reply(reply)]


def _too_large(what: str) -> ProviderBadReplyError:
    return ProviderBadReplyError(
        f"The provider's {what} has more than {MAX_BODY_BYTES >> 20} MB and was cut off."
    )
