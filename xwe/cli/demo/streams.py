"""Two answers that come piece by piece, side by side."""

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from xwe.cli.demo.screen import Screen, padded, wrapped
from xwe.cli.demo.texts import Texts
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.llm_client import LLMClient

# A pace that one can read along with, and an end that one waits for.
BEHAVIOUR = {"latency_s": 0.3, "tokens_per_s": 40, "length": 90}

_TALLEST: Final = 12
_GAP: Final = "   "
_LINES_AROUND: Final = 4


@dataclass(slots=True)
class _Answer:
    """One of the two answers so far."""

    name: str
    prompt: str
    text: str = ""
    pieces: int = 0
    first_s: float = 0.0
    seconds: float = 0.0


def show_streams(screen: Screen, texts: Texts, client: LLMClient) -> None:
    """Stream two answers at once; on a terminal one sees them grow."""
    screen.heading("2  " + texts["streams"])
    answers = [_Answer(*each) for each in zip("AB", texts["stream_prompts"], strict=True)]
    order: list[str] = []
    reading = [get_loop_thread().submit(_read(client, answer, order)) for answer in answers]
    screen.watch(reading, lambda: _side_by_side(screen, answers))
    for each in reading:
        each.result()
    screen.settle(_side_by_side(screen, answers))
    for answer in answers:
        facts = {"first": answer.first_s, "pieces": answer.pieces, "seconds": answer.seconds}
        screen.say(texts["stream_facts"].format(name=answer.name, **facts))
    turns = sum(before != after for before, after in pairwise(order))
    screen.say(texts["stream_turns"].format(turns=turns), is_bold=True)


async def _read(client: LLMClient, answer: _Answer, order: list[str]) -> None:
    """Read one answer, and note in `order` whose pieces come."""
    began = time.monotonic()
    async with client.stream_async(answer.prompt, extra={"mock": BEHAVIOUR}) as stream:
        async for delta in stream:
            if not delta.text:
                continue
            answer.seconds = time.monotonic() - began
            answer.first_s = answer.first_s or answer.seconds
            answer.text += delta.text
            answer.pieces += 1
            order.append(answer.name)


def _side_by_side(screen: Screen, answers: list[_Answer]) -> list[str]:
    """On a terminal a fixed number of lines, in which a long answer shows its end."""
    width = (screen.width - len(_GAP)) // 2
    sides = [wrapped(answer.text, width) for answer in answers]
    rows = max(map(len, sides))
    if screen.is_live:
        rows = max(1, min(_TALLEST, screen.height - _LINES_AROUND))
    cut = [side[-rows:] + [""] * (rows - len(side)) for side in sides]
    titles = [f"{answer.name}  {answer.prompt}" for answer in answers]
    lines = [
        _GAP.join(padded(each, width) for each in pair).rstrip() for pair in zip(*cut, strict=True)
    ]
    return [screen.style(_GAP.join(padded(title, width) for title in titles), is_bold=True), *lines]
