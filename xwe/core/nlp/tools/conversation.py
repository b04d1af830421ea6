"""The messages of a turn with tools, as pure functions: what the model is told, and when.

Providers refuse a conversation in which a tool call has no answer, or two. So the history is built
anew for each request from what has happened, and checked before it is sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xwe.core.nlp.completion import Message
from xwe.errors import InvalidRequestError

RUNNING = "[running] There is no result yet; it will come. Do not call this again."


@dataclass(frozen=True, slots=True)
class CallText:
    """A tool call as a conversation shows it; `result` is None while the tool runs."""

    call_id: str
    tool: str
    arguments: str
    result: str | None = None


def calling_message(said: Message, calls: Sequence[CallText]) -> Message:
    """The assistant's message that made the calls; fields we do not know stay as they came."""
    return {
        **said,
        "role": "assistant",
        "content": said.get("content") or None,
        "tool_calls": [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.tool, "arguments": call.arguments},
            }
            for call in calls
        ],
    }


def result_messages(calls: Iterable[CallText]) -> list[Message]:
    """Exactly one tool message for each call."""
    return [
        {
            "role": "tool",
            "tool_call_id": call.call_id,
            "content": RUNNING if call.result is None else call.result,
        }
        for call in calls
    ]


def shown_message(shown: str) -> list[Message]:
    """What the user has read since the calls were made, word for word; nothing where nothing was.

    It is a message of its own: in the one that makes the calls the model would take it for
    something that it said before it called.
    """
    if not shown:
        return []
    content = (
        "While the tools ran, the user was shown exactly this text, which may end in the middle "
        f"of a sentence:\n<shown>{shown}</shown>\n"
        "Go on from there in the same language, with what the tools have returned. Repeat nothing "
        "of it and do not greet again; where a result contradicts it, say so."
    )
    return [{"role": "system", "content": content}]


def bridge_message(said: str, calls: Iterable[CallText]) -> Message:
    """What asks the model to go on talking while the tools run."""
    running = ", ".join(f"{call.tool}({call.arguments})" for call in calls)
    before = f"You have said so far: <said>{said}</said>\n" if said else ""
    content = (
        f"These tools are running for you, and their results are not there yet: {running}\n{before}"
        "Until then go on talking to the user, in the user's language: something useful that does "
        "not depend on the results. Do not guess the results, do not promise when they come, do "
        "not repeat yourself, call nothing, and do not conclude."
    )
    return {"role": "system", "content": content}


def check_conversation(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what a provider would refuse.

    Raises:
        InvalidRequestError: a call without its one result, or a result without its call.
    """
    open_ids: list[str] = []
    for message in messages:
        if message.get("role") == "tool":
            call_id = message.get("tool_call_id")
            if call_id not in open_ids:
                raise _invalid(f"a result for {call_id!r:.80}, which is no call just before it")
            open_ids.remove(call_id)
            continue
        if open_ids:
            raise _invalid(f"no result for the call {open_ids[0]!r:.80}")
        if message.get("role") == "assistant":
            open_ids = [call["id"] for call in message.get("tool_calls") or ()]
            if len(set(open_ids)) != len(open_ids):
                raise _invalid("two calls with the same id")
    if open_ids:
        raise _invalid(f"no result for the call {open_ids[0]!r:.80}")


def _invalid(what: str) -> InvalidRequestError:
    return InvalidRequestError(f"The conversation has {what}.", field="messages")
