"""Pieces are gathered while the writer pauses; the first, the end and an error never wait."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from xwe.core.nlp.completion import Delta
from xwe.errors import ClosedError, StreamInterruptedError
from xwe.web.gathering import gathered_text

FOR_EVER_S = 3600.0


class Model:
    """Says what it is told to say, when it is told."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
        self.has_ended = False
        self.taken = 0

    async def say(self, *texts: str | BaseException | None) -> None:
        for text in texts:
            self._said.put_nowait(text)
        await self._said.join()

    async def stream(self) -> AsyncGenerator[Delta, None]:
        try:
            while (text := await self._heard()) is not None:
                if isinstance(text, BaseException):
                    raise text
                self.taken += 1
                yield Delta(text)
        finally:
            self.has_ended = True

    async def _heard(self) -> str | BaseException | None:
        text = await self._said.get()
        self._said.task_done()
        return text


async def test_the_first_piece_goes_out_at_once_and_the_rest_together_at_the_end() -> None:
    model = Model()
    pieces = gathered_text(model.stream(), FOR_EVER_S)
    first = asyncio.ensure_future(anext(pieces))
    await model.say("one")
    assert await first == Delta("one")
    rest = asyncio.ensure_future(anext(pieces))
    await model.say(" two", " three", None)
    assert await rest == Delta(" two three"), "the end did not wait for the pause's"
    with pytest.raises(StopAsyncIteration):
        await anext(pieces)
    assert model.has_ended


async def test_a_piece_without_text_does_not_make_the_first_word_wait() -> None:
    model = Model()
    pieces = gathered_text(model.stream(), FOR_EVER_S)
    first = asyncio.ensure_future(anext(pieces))
    await model.say("", "")
    await model.say("one")
    assert await first == Delta("one")
    await pieces.aclose()


async def test_what_came_goes_out_when_the_pause_is_over_though_the_model_goes_on() -> None:
    model = Model()
    pieces = gathered_text(model.stream(), 0.01)
    for said in ("one", "two"):
        asked = asyncio.ensure_future(anext(pieces))
        await model.say(said)
        assert await asked == Delta(said)
    await pieces.aclose()


@pytest.mark.parametrize("error", [StreamInterruptedError(), ClosedError()], ids=repr)
async def test_an_error_comes_after_the_text_before_it_and_ends_the_pause(
    error: BaseException,
) -> None:
    model = Model()
    pieces = gathered_text(model.stream(), FOR_EVER_S)
    first = asyncio.ensure_future(anext(pieces))
    await model.say("one")
    await first
    rest = asyncio.ensure_future(anext(pieces))
    await model.say(" two", error)
    assert await rest == Delta(" two")
    with pytest.raises(type(error)):
        await anext(pieces)


async def test_a_reader_that_leaves_during_the_pause_ends_the_stream_first() -> None:
    model = Model()
    pieces = gathered_text(model.stream(), FOR_EVER_S)
    first = asyncio.ensure_future(anext(pieces))
    await model.say("one")
    await first
    waiting = asyncio.ensure_future(anext(pieces))
    await model.say("two")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert model.has_ended


async def test_a_model_that_is_far_ahead_waits_for_the_reader() -> None:
    model = Model()
    pieces = gathered_text(model.stream(), FOR_EVER_S)
    first = asyncio.ensure_future(anext(pieces))
    await model.say("one")
    await first
    for _ in range(1000):
        model._said.put_nowait("x")
    waiting = asyncio.ensure_future(anext(pieces))
    for _ in range(2000):
        await asyncio.sleep(0)
    assert model.taken < 400
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert model.has_ended
