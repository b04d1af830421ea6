"""What the model routes accept: each body as a frozen value, or an error that names the field.

Fields that are not known are ignored, so that a newer front end can talk to an older server. Text
may not hold NUL characters: no database stores them, and no keyboard types them. `temperature`
and `max_tokens` are the provider's own defaults unless given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from xwe.core.nlp.completion import Message
from xwe.core.nlp.tools.policy import Awaiting, Mode
from xwe.errors import InvalidRequestError
from xwe.services.tool_chat import TurnRequest

MAX_TEXT_CHARS = 200_000
MAX_MESSAGES = 1_000
MAX_PROMPTS = 1_000
MAX_BATCH_CONCURRENCY = 100
DEFAULT_BATCH_CONCURRENCY = 10
MAX_TEMPERATURE = 2.0
MAX_TOKENS = 1_000_000

ROLES = frozenset({"system", "user", "assistant"})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the model is asked; None leaves a choice to the provider."""

    messages: list[Message]
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """Many questions, not yet checked one by one, and how many to ask at once."""

    prompts: list[Any]
    limit: int
    max_tokens: int | None = None


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Check `{message, messages?, system_prompt?, temperature?, max_tokens?}`.

    `messages` is what was said before, for clients that keep the conversation themselves.
    """
    messages = _messages(body, "messages") if body.get("messages") is not None else []
    messages.append({"role": "user", "content": _text(body, "message")})
    system = _optional_text(body, "system_prompt")
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return _sampled(messages, body)


def conversation_request(body: Mapping[str, Any]) -> ChatRequest:
    """Check `{messages, new_message, temperature?, max_tokens?}`."""
    messages = _messages(body, "messages")
    messages.append({"role": "user", "content": _text(body, "new_message")})
    return _sampled(messages, body)


def socket_chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Check `{message?, messages?, system_prompt?, temperature?, max_tokens?}`."""
    if body.get("messages") is None:
        return chat_request(body)
    messages = _messages(body, "messages")
    if body.get("message") is not None or not messages:
        messages.append({"role": "user", "content": _text(body, "message")})
    return _sampled(messages, body)


def stream_request(body: Mapping[str, Any]) -> ChatRequest:
    """Check `{prompt, messages?}`; a query string has the prompt only."""
    messages = _messages(body, "messages") if body.get("messages") is not None else []
    messages.append({"role": "user", "content": _text(body, "prompt")})
    return ChatRequest(messages)


def turn_request(body: Mapping[str, Any]) -> TurnRequest:
    """Check a turn with tools: as chat, with `{mode?, await?, tools?}`."""
    asked = chat_request(body)
    return TurnRequest(
        messages=asked.messages,
        mode=_one_of(body, "mode", get_args(Mode), "preemptive"),
        awaiting=_one_of(body, "await", get_args(Awaiting), "all"),
        tools=_names(body, "tools"),
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
    )


def batch_request(body: Mapping[str, Any]) -> BatchRequest:
    """Check `{prompts, limit?, max_tokens?}`: the list, but not its items."""
    prompts = body.get("prompts")
    if not isinstance(prompts, list):
        raise _invalid("prompts", "must be a list of texts")
    if len(prompts) > MAX_PROMPTS:
        raise _invalid("prompts", f"must hold at most {MAX_PROMPTS} texts, not {len(prompts)}")
    limit = _optional_int(body, "limit", MAX_BATCH_CONCURRENCY)
    return BatchRequest(
        prompts,
        DEFAULT_BATCH_CONCURRENCY if limit is None else limit,
        _optional_int(body, "max_tokens", MAX_TOKENS),
    )


def batch_item(batch: BatchRequest, index: int) -> ChatRequest:
    """Check one question of a batch."""
    prompt = _checked_text(batch.prompts[index], f"prompts[{index}]")
    return ChatRequest([{"role": "user", "content": prompt}], max_tokens=batch.max_tokens)


def _checked_text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise _invalid(field, "must be a text" if value is not None else "is missing")
    if not value or value.isspace():
        raise _invalid(field, "must not be empty")
    return _bounded(value, field)


def _bounded(value: str, field: str) -> str:
    if len(value) > MAX_TEXT_CHARS:
        raise _invalid(field, f"must be at most {MAX_TEXT_CHARS} characters, not {len(value)}")
    if "\0" in value:
        raise _invalid(field, "must not hold NUL characters")
    return value


def _text(body: Mapping[str, Any], field: str) -> str:
    return _checked_text(body.get(field), field)


def _optional_text(body: Mapping[str, Any], field: str) -> str | None:
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _invalid(field, "must be a text")
    return _bounded(value, field)


def _messages(body: Mapping[str, Any], field: str) -> list[Message]:
    messages = body.get(field)
    if not isinstance(messages, list):
        raise _invalid(field, "must be a list of messages")
    if len(messages) > MAX_MESSAGES:
        raise _invalid(field, f"must hold at most {MAX_MESSAGES} messages, not {len(messages)}")
    return [_message(message, f"{field}[{index}]") for index, message in enumerate(messages)]


def _message(message: Any, field: str) -> Message:
    if not isinstance(message, dict):
        raise _invalid(field, "must be an object with role and content")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise _invalid(f"{field}.role", "must be one of assistant, system, user")
    if not isinstance(content, str):
        raise _invalid(f"{field}.content", "must be a text")
    return {"role": role, "content": _bounded(content, f"{field}.content")}


def _sampled(messages: list[Message], body: Mapping[str, Any]) -> ChatRequest:
    temperature = body.get("temperature")
    if temperature is not None:
        if isinstance(temperature, bool) or not isinstance(temperature, int | float):
            raise _invalid("temperature", "must be a number")
        if not 0 <= temperature <= MAX_TEMPERATURE:
            raise _invalid("temperature", f"must be from 0 to {MAX_TEMPERATURE:g}")
    return ChatRequest(messages, temperature, _optional_int(body, "max_tokens", MAX_TOKENS))


def _optional_int(body: Mapping[str, Any], field: str, high: int) -> int | None:
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        raise _invalid(field, f"must be a whole number from 1 to {high}")
    return value


def _one_of(body: Mapping[str, Any], field: str, allowed: Sequence[str], usual: str) -> Any:
    value = body.get(field)
    if value is None:
        return usual
    if value not in allowed:
        raise _invalid(field, f"must be one of {', '.join(allowed)}")
    return value


def _names(body: Mapping[str, Any], field: str) -> list[str] | None:
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _invalid(field, "must be a list of names")
    return value


def _invalid(field: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field} {problem}.", field=field)
