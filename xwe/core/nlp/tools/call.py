"""One tool call of a turn, and how its tool is run."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.executor import offload
from xwe.core.nlp.tools.conversation import CallText
from xwe.core.nlp.tools.progress import Progress
from xwe.core.nlp.tools.tool import AnyTool, result_text
from xwe.errors import XweError

OutcomeKind = Literal["ok", "error", "timeout", "cancelled"]

# A model needs the cause, not the whole of it.
MAX_ERROR_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: `text` is what the model is told."""

    kind: OutcomeKind
    text: str

    @property
    def is_ok(self) -> bool:
        """Whether there is a result."""
        return self.kind == "ok"


def failed(kind: OutcomeKind, message: str) -> Outcome:
    """An outcome without a result."""
    return Outcome(kind, f"[{kind}] {message[:MAX_ERROR_CHARACTERS]}")


class Call:
    """A call from its closing brace to its outcome.

    Attributes:
        call_id: the provider's, or made.
        name: of the tool, which need not exist.
        number: of the call in its turn, from 1.
        arguments: JSON text as it may be sent back; "{}" where the model's own was broken.
        tool: None where there is none of that name.
        bound: the arguments, checked; None where the tool cannot be run.
        outcome: None until there is one.
        is_told: whether the model has been told of the outcome.
        twin: an earlier, identical call, whose outcome this one shares.
        task: runs the tool.
        started_at: on the loop's clock; None before that.
    """

    __slots__ = (
        "arguments",
        "bound",
        "call_id",
        "is_told",
        "name",
        "number",
        "outcome",
        "started_at",
        "task",
        "tool",
        "twin",
    )

    def __init__(self, call_id: str, name: str, number: int, tool: AnyTool | None) -> None:
        self.call_id = call_id
        self.name = name
        self.number = number
        self.tool = tool
        self.arguments = "{}"
        self.bound: Mapping[str, Any] | None = None
        self.outcome: Outcome | None = None
        self.is_told = False
        self.twin: Call | None = None
        self.task: asyncio.Task[None] | None = None
        self.started_at: float | None = None

    @property
    def is_pending(self) -> bool:
        """Whether its outcome is still to come."""
        return self.outcome is None

    @property
    def is_silent(self) -> bool:
        """Whether nobody waits for it."""
        return self.tool is not None and self.tool.on_result == "silent"

    @property
    def is_news(self) -> bool:
        """Whether the model should be told of it now."""
        return self.outcome is not None and not self.is_told and not self.is_silent

    @property
    def interrupts(self) -> bool:
        """Whether its news may cut off what the model says."""
        return self.is_news and (self.tool is None or self.tool.on_result == "interrupt")

    def as_text(self) -> CallText:
        """The call as a conversation shows it."""
        outcome = self.outcome
        return CallText(
            self.call_id, self.name, self.arguments, None if outcome is None else outcome.text
        )


async def run_tool(
    tool: AnyTool,
    bound: Mapping[str, Any],
    on_progress: Callable[[float | None, str], object],
    pool: ThreadPoolExecutor,
) -> Outcome:
    """Run a tool to its end or its limit; whatever it raises is its outcome."""
    arguments = dict(bound)
    if tool.progress_parameter is not None:
        arguments[tool.progress_parameter] = Progress(on_progress)
    limit = asyncio.timeout(tool.timeout_s)
    try:
        async with limit:
            if tool.is_async:
                value = await tool.function(**arguments)
            elif AsyncConfig.is_async_enabled():
                value = await offload(tool.function, executor=pool, **arguments)
            else:
                value = tool.function(**arguments)
        return Outcome("ok", result_text(value))
    except Exception as error:  # noqa: BLE001 - a tool is foreign code; its failure is its answer
        if isinstance(error, TimeoutError) and limit.expired():
            return failed("timeout", _timeout_message(tool))
        reason = error.message if isinstance(error, XweError) else str(error)
        return failed("error", f"{type(error).__name__}: {reason}" if reason else repr(error))


def _timeout_message(tool: AnyTool) -> str:
    message = f"{tool.name} did not answer within {tool.timeout_s:g} s."
    if tool.effect == "side_effect":
        message += " What it does may have happened all the same."
    return message
