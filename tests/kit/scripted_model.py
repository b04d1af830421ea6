"""A model whose pieces a test releases one by one, to force any interleaving."""

import asyncio
import json

from xwe.core.nlp.assembly import ReplyAssembly
from xwe.core.nlp.completion import Delta, ToolCallDelta
from xwe.core.nlp.completion_stream import AsyncCompletionStream


class Reply:
    """The model's reply to one request, step by step; see `ScriptedModel.reply`."""

    def __init__(self, steps):
        self.steps = steps
        self.begun = asyncio.Event()
        self.closed = asyncio.Event()
        self.messages = None
        self.options = None

    async def deltas(self, assembly):
        self.begun.set()
        try:
            for step in self.steps:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield assembly.add(Delta(text=step) if isinstance(step, str) else step)
        finally:
            self.closed.set()


class ScriptedModel:
    """A stand-in for `LLMClient`: answers requests in order and records them."""

    def __init__(self):
        self.replies = []
        self.requests = []

    def reply(self, *steps):
        """The reply to the next request: texts, deltas, events to wait for, or an error."""
        reply = Reply(steps)
        self.replies.append(reply)
        return reply

    def stream_async(self, messages, **options):
        assert len(self.requests) < len(self.replies), f"asked too often: {messages}"
        reply = self.replies[len(self.requests)]
        reply.messages, reply.options = json.loads(json.dumps(list(messages))), options
        self.requests.append(reply)
        assembly = ReplyAssembly("scripted")
        return AsyncCompletionStream(reply.deltas(assembly), assembly)


def call(name, arguments="{}", call_id=None, index=None):
    """A tool call in one piece."""
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return Delta(tool_calls=(ToolCallDelta(index, call_id, name, arguments),))


def finish(reason="stop"):
    return Delta(finish_reason=reason)


class Listener:
    """Reads a turn in its own task; `until` waits for an event."""

    def __init__(self, turn):
        self.events = []
        self.error = None
        self._turn = turn
        self._changed = asyncio.Condition()
        self.task = asyncio.create_task(self._read())

    async def _read(self):
        try:
            async for event in self._turn:
                async with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - `end` raises it where the test waits
            self.error = error
        async with self._changed:
            self._changed.notify_all()

    async def until(self, kind, /, count=1, **fields):
        """Wait until there are `count` events of a kind with these fields; the last of them."""
        async with self._changed:
            while len(found := self.of(kind, **fields)) < count:
                assert not self.task.done(), f"ended without {kind.__name__}: {self.events}"
                await self._changed.wait()
        return found[count - 1]

    async def end(self):
        """All events, once the turn is over."""
        await self.task
        if self.error is not None:
            raise self.error
        return self.events

    async def leave(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self._turn.aclose()

    def of(self, kind, /, **fields):
        return [
            event
            for event in self.events
            if isinstance(event, kind)
            and all(getattr(event, name) == value for name, value in fields.items())
        ]


def text_of(events):
    """The text that was shown."""
    return "".join(event.text for event in events if type(event).__name__ == "TextGrew")


class Gate:
    """A tool's function that waits until a test opens it, and counts its runs."""

    def __init__(self, result="done"):
        self.opened = asyncio.Event()
        self.entered = asyncio.Event()
        self.result = result
        self.runs = 0
        self.cancelled = 0

    async def __call__(self):
        self.runs += 1
        self.entered.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return self.result
