"""A turn that is being answered in this process."""

import time
from concurrent.futures import Future

from xwe.services.chats.values import Ending, Opened, Reply
from xwe.streams.live_stream import LiveStream, StreamReader


class Turn:
    """What is known of one answer while it is being made.

    Its text grows on the loop; whoever else looks sees it as it was a moment ago.

    Attributes:
        opened: as it was stored.
        lost: whether another process has taken this one for dead, and ended the answer.
        stop_asked: whether somebody has stopped it.
        ending: how it has ended, once it has; `done` waits until that is stored as well.
        storing: whether its end is on its way into the database.
        stored_chars: how much of the text the last snapshot had.
        renewed_at: when its lease was prolonged last, in seconds of the monotonic clock.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.lost = False
        self.stop_asked = False
        self.ending: Ending | None = None
        self.storing = False
        self.done: Future[Reply] = Future()
        self.stored_chars = 0
        self.renewed_at = time.monotonic()
        self._pieces: list[str] = []
        self._chars = 0
        self._reader_elsewhere: StreamReader | None = None

    @property
    def stream(self) -> LiveStream:
        """Its events."""
        return self.opened.place.stream

    @property
    def generation_id(self) -> str:
        """The name of the generation, and of its stream."""
        return self.opened.generation_id

    @property
    def message_id(self) -> int:
        """The row that the answer is written to."""
        return self.opened.answer.id

    @property
    def text(self) -> str:
        """What has come so far."""
        return "".join(self._pieces)

    @property
    def chars(self) -> int:
        """How long that is."""
        return self._chars

    def add(self, piece: str) -> None:
        """Take the next piece of the text in."""
        self._pieces.append(piece)
        self._chars += len(piece)

    def attend(self, *, is_read_elsewhere: bool) -> None:
        """Be its reader for those who read it through another process, or no more."""
        reader = self._reader_elsewhere
        if is_read_elsewhere and reader is None:
            self._reader_elsewhere = self.stream.attend()
        elif reader is not None and not is_read_elsewhere:
            self._reader_elsewhere = None
            reader.close()

    def reply(self, ending: Ending) -> Reply:
        """The whole answer, for who waits for it."""
        return Reply(
            ending.text, self.message_id, self.generation_id, ending.status, ending.timings
        )
