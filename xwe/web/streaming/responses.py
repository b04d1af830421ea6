"""Responses that write an answer to their client, in one format or another.

Each takes a slot, joins the answer, and leaves the rest to a writer: so all readers join, leave,
rejoin and stop by the same rules.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from flask import Response, request

from xwe.errors import DrainingError
from xwe.streams import ui_messages
from xwe.streams.answer import Answer, AnswerReader
from xwe.web.application import current_application
from xwe.web.identity import stream_owner
from xwe.web.streaming.client_disconnect import connection_of
from xwe.web.streaming.formats import (
    HEADERS,
    TEXT_HEADERS,
    EventFormat,
    Format,
    PlainEventFormat,
    TextFormat,
)
from xwe.web.streaming.loop_writer import writer_for
from xwe.web.streaming.thread_writer import ClientReading

Join = Callable[[], AnswerReader]
"""Finds or starts an answer, and joins it."""


def message_stream(join: Join) -> Response:
    """The answer as a UI message stream."""
    reading = _reading(join, lambda _: EventFormat())
    return _written(reading, {**HEADERS, **ui_messages.HEADERS, **_named(reading)})


def event_stream(join: Join) -> Response:
    """The answer's events over server-sent events, whatever they are."""
    return _written(_reading(join, lambda _: EventFormat()), HEADERS)


def plain_event_stream(join: Join, skip: int = 0) -> Response:
    """The answer's text in `data:` lines, without its first `skip` characters."""
    reading = _reading(join, lambda answer: PlainEventFormat(answer.answer_id, skip))
    return _written(reading, {**HEADERS, **_named(reading)})


def text_stream(join: Join) -> Response:
    """The answer's text as `text/plain`.

    Plain text has no word for an error. One before the first text is a proper status; one after it
    ends the body without its proper end, which every HTTP client reports as a failed read.

    Raises:
        XweError: what ended the answer before it said anything.
        ClientDisconnectedError: the client did not wait for the first text.
    """
    reading = _reading(join, lambda _: TextFormat())
    try:
        written = _first_text(reading)
    except BaseException:
        reading.close()
        raise
    return _written(replace(reading, written=written), {**TEXT_HEADERS, **_named(reading)})


def _first_text(reading: ClientReading) -> bytes:
    """Wait for the first text, while a failure can still be a status."""
    reader = reading.reader
    while not reader.has_ended:
        first = reader.number + 1
        events = reading.wait_for_events(threading.TIMEOUT_MAX)
        text = reading.format.encode(first, events, is_last=reader.has_ended)
        if text:
            return text
    if reading.format.is_cut:
        outcome = reader.answer.outcome
        raise (outcome and outcome.error) or DrainingError()
    return b""


def _reading(join: Join, format_of: Callable[[Answer], Format]) -> ClientReading:
    app = current_application()
    # The slot first: without one to read it, no answer is started and paid for.
    slot = app.reader_slots.take(stream_owner())
    try:
        reader = join()
    except BaseException:
        slot.leave()
        raise
    connection = connection_of(request.environ)
    return ClientReading(reader, slot, format_of(reader.answer), app.writing_times, connection)


def _named(reading: ClientReading) -> dict[str, str]:
    return {"X-Generation-Id": reading.reader.answer.answer_id}


def _written(reading: ClientReading, headers: Mapping[str, str]) -> Response:
    return Response(writer_for(request.environ, reading), headers=headers)
