"""Answers in the making: the model's reply is recorded while it is streamed, and its end stored.

The end is stored before it is told, so that whoever has seen it finds it in the conversation.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import orjson

from xwe.core.nlp.completion import Completion, Delta
from xwe.core.nlp.completion import Message as PromptMessage
from xwe.core.nlp.llm_client import LLMClient
from xwe.errors import AnswerLostError, DrainingError, XweError
from xwe.services.answers import DeltaStream, answer_events
from xwe.services.chats.rebuilding import data_turn
from xwe.services.chats.turn import Turn
from xwe.services.chats.turns import Turns
from xwe.services.chats.values import Ending, Opened
from xwe.services.database_threads import in_database
from xwe.streams.live_streams import LiveStreams
from xwe.streams.notifications import Notifications

log = logging.getLogger(__name__)


class Answering:
    """The turns that are being answered in this process.

    Attributes:
        running: those turns by generation, until their end is stored.
    """

    def __init__(self, turns: Turns, streams: LiveStreams, notifications: Notifications) -> None:
        self._turns = turns
        self._streams = streams
        self._notifications = notifications
        self._storing: set[asyncio.Task[None]] = set()
        self.running: dict[str, Turn] = {}

    def begin(self, opened: Opened, ask: Callable[[list[PromptMessage]], DeltaStream]) -> Turn:
        """Have the model answer a turn that has been stored; `ask` makes a reply of its prompt.

        Raises:
            ClosedError: the process is about to end; the turn has failed.
        """
        turn = Turn(opened)
        self.running[turn.generation_id] = turn
        try:
            with opened.place:
                recorded = Recorded(ask(opened.prompt), turn, self.end, self.cut_short)
                told = data_turn(opened.answer, opened.asked)
                opened.place.begin(answer_events(recorded, opened.generation_id, told))
        except Exception as error:
            del self.running[turn.generation_id]
            known = error if isinstance(error, XweError) else XweError()
            self._turns.end(opened, Ending("failed", "", known, known.code))
            raise
        self.tell(turn, "streaming")
        return turn

    def stop(self, turn: Turn) -> None:
        """End the answer; what has come stands."""
        turn.stop_asked = True
        self._streams.stop(turn.generation_id, str(turn.opened.user_id))

    async def end(self, turn: Turn, ending: Ending) -> None:
        """Store how a turn has ended, also when the caller is cancelled meanwhile. Idempotent.

        Raises:
            DatabaseUnavailableError: it could not be stored now; `store` may be tried again.
        """
        if turn.ending is None:
            turn.ending = ending
            # In a task of its own: what is cancelled is the answer, never the storing of it.
            task = asyncio.create_task(self.store(turn, ending))
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)
            await asyncio.shield(task)

    async def store(self, turn: Turn, ending: Ending) -> None:
        """Bring a turn's end into the database, and tell those who wait."""
        turn.storing = True
        try:
            await in_database(self._turns.end, turn.opened, ending)
        except XweError as error:
            if not turn.done.done():
                turn.done.set_exception(error)
            raise
        finally:
            turn.storing = False
        self.running.pop(turn.generation_id, None)
        turn.attend(is_read_elsewhere=False)
        if not turn.done.done():
            if ending.error is None:
                turn.done.set_result(turn.reply(ending))
            else:
                turn.done.set_exception(ending.error)
        self.tell(turn, ending.status)

    def cut_short(self, turn: Turn) -> Ending:
        """The ending of an answer that was cancelled: by somebody, or by the process's end."""
        if turn.lost:
            lost = AnswerLostError()
            return Ending("partial", turn.text, lost, lost.code)
        if turn.stop_asked or not self._streams.is_draining:
            return Ending("cancelled", turn.text)
        error = DrainingError()
        return Ending("partial", turn.text, error, error.code)

    def tell(self, turn: Turn, status: str) -> None:
        """Tell the user's other pages."""
        opened = turn.opened
        news = {
            "type": "message",
            "role": opened.role,
            "generation_id": opened.generation_id,
            "message_id": opened.answer.id,
            "seq": opened.answer.place,
            "status": status,
        }
        self._notifications.publish(str(opened.user_id), orjson.dumps(news))


class Recorded:
    """A model's reply that is written down while it is read, and stored at its end."""

    def __init__(
        self,
        deltas: DeltaStream,
        turn: Turn,
        end: Callable[[Turn, Ending], Awaitable[None]],
        cut_short: Callable[[Turn], Ending],
    ) -> None:
        self._deltas = deltas
        self._turn = turn
        self._end = end
        self._cut_short = cut_short
        self._pieces = self._read()

    @property
    def completion(self) -> Completion:
        """The reply so far."""
        return self._deltas.completion

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._pieces

    async def _read(self) -> AsyncGenerator[Delta, None]:
        turn = self._turn
        try:
            async for delta in self._deltas:
                if delta.text:
                    turn.add(delta.text)
                yield delta
        except XweError as error:
            await self._fail(error)
            raise
        except Exception:
            await self._fail(XweError())
            raise
        except BaseException:  # cancelled, or nobody reads on
            await self._store(self._cut_short(turn))
            raise
        else:
            completion = self._deltas.completion
            await self._end(
                turn,
                Ending(
                    "complete",
                    turn.text,
                    usage=completion.usage,
                    timings=completion.timings,
                ),
            )
        finally:
            await self._deltas.aclose()

    async def _fail(self, error: XweError) -> None:
        text = self._turn.text
        await self._store(Ending("partial" if text else "failed", text, error, error.code))

    async def _store(self, ending: Ending) -> None:
        try:
            await self._end(self._turn, ending)
        except XweError as error:
            # What ended the answer is what its reader is told; the keeper stores it later.
            log.warning("The end of answer %s waits: %s", self._turn.generation_id, error)

    async def aclose(self) -> None:
        """End the upstream request."""
        await self._pieces.aclose()


class Whole:
    """A reply that comes in one piece, read as if it were streamed: it costs a fraction."""

    def __init__(self, client: LLMClient, messages: list[PromptMessage]) -> None:
        self._client = client
        self._messages = messages
        self._completion = Completion("")
        self._deltas = self._read()

    @property
    def completion(self) -> Completion:
        """The reply, once it is there."""
        return self._completion

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._deltas

    async def _read(self) -> AsyncGenerator[Delta, None]:
        self._completion = await self._client.complete_async(self._messages)
        yield Delta(text=self._completion.text, finish_reason=self._completion.finish_reason)

    async def aclose(self) -> None:
        """End the request."""
        await self._deltas.aclose()
