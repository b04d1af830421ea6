"""Streamed tool calls as events: when one begins, grows, and is whole."""

from dataclasses import dataclass
from typing import Literal

import orjson

from xwe.core.nlp.call_grouping import CallGrouping, GroupedCall
from xwe.core.nlp.completion import ToolCallDelta
from xwe.core.nlp.tools.scanner import MAX_ARGUMENT_CHARACTERS

NO_ARGUMENTS = "{}"

CallState = Literal["growing", "closed", "broken"]


@dataclass(frozen=True, slots=True)
class CallBegan:
    """A call's name is known."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ArgumentsGrew:
    """A piece of its arguments; all of them together are the text that closes or breaks."""

    id: str
    piece: str


@dataclass(frozen=True, slots=True)
class CallClosed:
    """Its arguments are whole: the text of a JSON object, "{}" for none. Once for each call."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallBroken:
    """It will not be whole; `reason` is a sentence for the model."""

    id: str
    name: str
    arguments: str
    reason: str


CallEvent = CallBegan | ArgumentsGrew | CallClosed | CallBroken


class TrackedCall:
    """A call, as far as it has come.

    Attributes:
        state: "growing" until it has closed or broken.
        has_begun: its name is known, and it has been told of.
    """

    __slots__ = ("_grouped", "has_begun", "state")

    def __init__(self, grouped: GroupedCall) -> None:
        self._grouped = grouped
        self.state: CallState = "growing"
        self.has_begun = False

    @property
    def id(self) -> str:
        """The provider's, or a made one where it gave none, or gave it before."""
        return self._grouped.call_id

    @property
    def name(self) -> str:
        """Of the tool; "" until it has come."""
        return self._grouped.name

    @property
    def arguments(self) -> str:
        """As the model wrote them, so far."""
        return self._grouped.scanner.text

    def begin(self) -> CallBegan:
        """Its name is known."""
        self.has_begun = True
        return CallBegan(self.id, self.name)

    def close(self) -> CallEvent:
        """Its object has ended; one that is no JSON breaks."""
        text = self.arguments
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError as error:
            return self.break_off(f"The arguments are not JSON: {error}.")
        self.state = "closed"
        return CallClosed(self.id, self.name, text)

    def break_off(self, reason: str) -> CallEvent:
        """It will not be whole."""
        self.state = "broken"
        return CallBroken(self.id, self.name, self.arguments, reason)


class CallTracker:
    """Follows the calls of one reply; each closes, or breaks, exactly once."""

    def __init__(self) -> None:
        self._grouping = CallGrouping()
        self._calls: dict[GroupedCall, TrackedCall] = {}

    @property
    def calls(self) -> list[TrackedCall]:
        """The calls so far, in the order of their beginning."""
        return list(self._calls.values())

    def add(self, piece: ToolCallDelta) -> list[CallEvent]:
        """What a piece brings about."""
        events: list[CallEvent] = []
        grouped = self._grouping.call_of(piece)
        call = self._calls.get(grouped)
        if call is None:
            call = self._calls[grouped] = TrackedCall(grouped)
            if grouped.follows is not None:
                events += _close_empty(self._calls[grouped.follows])
        grown = grouped.take(piece.arguments)
        if not call.has_begun:
            if not call.name:
                return events  # its arguments so far are told together with its name
            events.append(call.begin())
            grown = call.arguments
        if call.state != "growing":
            return events
        if grown:
            events.append(ArgumentsGrew(call.id, grown))
        if grouped.scanner.is_closed:
            events.append(call.close())
        elif grouped.scanner.is_broken:
            events.append(call.break_off(_why_broken(grouped)))
        return events

    def finish(self) -> list[CallEvent]:
        """The reply has ended as it should: calls without arguments close, half ones break."""
        events: list[CallEvent] = []
        for call in self._growing():
            reason = "The arguments end in the middle of the JSON object."
            events += _close_empty(call) or [call.break_off(reason)]
        return events

    def abandon(self) -> list[CallEvent]:
        """The reply was broken off: every call that has not closed breaks."""
        return [
            call.break_off("The call was broken off before its end.") for call in self._growing()
        ]

    def _growing(self) -> list[TrackedCall]:
        # Nobody has heard of one that has no name.
        return [call for call in self.calls if call.has_begun and call.state == "growing"]


def _close_empty(call: TrackedCall) -> list[CallEvent]:
    """Its end, if it is a call without arguments."""
    if not call.has_begun or call.state != "growing" or call.arguments.strip():
        return []
    call.state = "closed"
    return [CallClosed(call.id, call.name, NO_ARGUMENTS)]


def _why_broken(grouped: GroupedCall) -> str:
    if grouped.scanner.is_too_long:
        return f"The arguments are longer than {MAX_ARGUMENT_CHARACTERS} characters."
    return "The arguments must be one JSON object."
