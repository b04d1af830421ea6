"""Two answers that come piece by piece, side by side."""

import asyncio
import time
from dataclasses import dataclass, field
from itertools import pairwise

from xwe.cli.demo.screen import Screen, padded, wrapped
from xwe.cli.demo.texts import Texts
from xwe.cli.demo.watching import News, watch
from xwe.core.nlp.llm_client import LLMClient

# A pace that one can read along with, and an end that one waits for.
BEHAVIOUR = {"latency_s": 0.3, "tokens_per_s": 40, "length": 90}

_TALLEST = 12
_GAP = "   "
_LINES_AROUND = 4


@dataclass(slots=True)
class _Answer:
    """One of the two, as far as it has come."""

    name: str
    prompt: str
    text: str = ""
    pieces: int = 0
    first_s: float = 0.0
    seconds: float = 0.0


@dataclass(slots=True)
class _Both:
    """Both answers, and in which order their pieces came."""

    answers: tuple[_Answer, _Answer]
    order: list[str] = field(default_factory=list)

    @property
    def turns(self) -> int:
        """How often a piece of one was followed by a piece of the other."""
        return sum(before != after for before, after in pairwise(self.order))


def show_streams(screen: Screen, texts: Texts, client: LLMClient) -> None:
    """Stream two answers at once; on a terminal one sees them grow."""
    screen.heading("2  " + texts.streams)
    left, right = texts.stream_prompts
    both = _Both((_Answer("A", left), _Answer("B", right)))
    news = News()

    async def read_both() -> None:
        await asyncio.gather(*(_read(client, answer, both, news) for answer in both.answers))

    watch(read_both(), news, lambda: screen.draw(_side_by_side(screen, both)))
    screen.settle(_side_by_side(screen, both) if screen.is_live else _in_full(screen, both))
    for answer in both.answers:
        facts = {"first": answer.first_s, "pieces": answer.pieces, "seconds": answer.seconds}
        screen.say(texts.stream_facts.format(name=answer.name, **facts))
    screen.result(texts.stream_turns.format(turns=both.turns))


async def _read(client: LLMClient, answer: _Answer, both: _Both, news: News) -> None:
    begun = time.monotonic()
    async with client.stream_async(answer.prompt, extra={"mock": BEHAVIOUR}) as stream:
        async for delta in stream:
            if not delta.text:
                continue
            answer.seconds = time.monotonic() - begun
            answer.first_s = answer.first_s or answer.seconds
            answer.text += delta.text
            answer.pieces += 1
            both.order.append(answer.name)
            news.tell()


def _side_by_side(screen: Screen, both: _Both) -> list[str]:
    """A fixed number of lines; a long answer shows its end."""
    width = (screen.width - len(_GAP)) // 2
    rows = max(1, min(_TALLEST, screen.height - _LINES_AROUND))
    sides = []
    for answer in both.answers:
        lines = wrapped(answer.text, width)[-rows:]
        sides.append([padded(line, width) for line in lines + [""] * (rows - len(lines))])
    titles = (padded(f"{answer.name}  {answer.prompt}", width) for answer in both.answers)
    title = screen.style(_GAP.join(titles), is_bold=True)
    return [title, *(_GAP.join(row) for row in zip(*sides, strict=True))]


def _in_full(screen: Screen, both: _Both) -> list[str]:
    lines = []
    for answer in both.answers:
        lines.append(f"{answer.name}  {answer.prompt}")
        lines.extend("   " + line for line in wrapped(answer.text, screen.width - 3))
    return lines
