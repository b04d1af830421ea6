"""What a browser's EventSource makes of the bytes of a response, as the HTML standard says it.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import codecs
import re
from dataclasses import dataclass

LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True)
class Event:
    """One that was dispatched."""

    kind: str
    data: str
    last_event_id: str


class EventSource:
    """Takes the bytes as they come; `last_event_id` is what it would connect again with."""

    def __init__(self):
        self.events = []
        self.last_event_id = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._id = ""
        self._forget()

    def _forget(self):
        self._kind, self._data = "", []

    @property
    def text(self):
        """The data of the events that have no kind of their own, one after the other."""
        return "".join(event.data for event in self.events if event.kind == "message")

    @property
    def kinds(self):
        return [event.kind for event in self.events]

    def feed(self, body):
        self._rest += self._decoder.decode(body)
        while found := LINE_END.search(self._rest):
            if found.end() == len(self._rest) and found.group() == "\r":
                return  # its other half may come
            line, self._rest = self._rest[: found.start()], self._rest[found.end() :]
            self._take(line)

    def _take(self, line):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            self._dispatch()
        elif name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value

    def _dispatch(self):
        self.last_event_id = self._id
        if self._data:
            kind = self._kind or "message"
            self.events.append(Event(kind, "\n".join(self._data), self.last_event_id))
        self._forget()
