"""An answer whose events the test adds itself, event by event."""

import asyncio

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.streams.answer import Answer


class FedAnswer(Answer):
    """Started; `say` adds events and `finish` ends it, both seen by readers when they return."""

    def __init__(self, **options):
        super().__init__("id", "owner", **options)
        self._said = asyncio.Queue()
        self.start(self, self)

    def say(self, *events):
        number = self.last_number + len(events)
        get_loop_thread().loop.call_soon_threadsafe(self._said.put_nowait, events)
        while self.last_number < number:
            get_loop_thread().run(asyncio.sleep(0))

    def finish(self):
        get_loop_thread().loop.call_soon_threadsafe(self._said.put_nowait, None)
        assert self.wait(60)

    async def __aiter__(self):
        while (events := await self._said.get()) is not None:
            yield events

    async def aclose(self):
        pass

    text = ""

    def open(self):
        return []

    def feed(self, events):
        return events

    def close(self, outcome):
        return []
