"""What the model routes accept; `temperature` and `max_tokens` are the provider's unless given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from xwe.core.nlp.completion import Message
from xwe.core.nlp.tools.policy import Awaiting, Mode
from xwe.services.tool_chat import TurnRequest
from xwe.web.bodies import fields

MAX_MESSAGES = 1_000
MAX_PROMPTS = 1_000
MAX_BATCH_CONCURRENCY = 100
DEFAULT_BATCH_CONCURRENCY = 10
MAX_TEMPERATURE = 2.0
MAX_TOKENS = 1_000_000

ROLES = frozenset({"system", "user", "assistant"})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request to the model; None leaves the choice to the provider."""

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
    messages.append({"role": "user", "content": fields.text(body, "message")})
    system = fields.optional_text(body, "system_prompt")
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return _sampled(messages, body)


def conversation_request(body: Mapping[str, Any]) -> ChatRequest:
    """Check `{messages, new_message, temperature?, max_tokens?}`."""
    messages = _messages(body, "messages")
    messages.append({"role": "user", "content": fields.text(body, "new_message")})
    return _sampled(messages, body)


def socket_chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Check `{message?, messages?, system_prompt?, temperature?, max_tokens?}`."""
    if body.get("messages") is None:
        return chat_request(body)
    messages = _messages(body, "messages")
    if body.get("message") is not None or not messages:
        messages.append({"role": "user", "content": fields.text(body, "message")})
    return _sampled(messages, body)


def stream_request(body: Mapping[str, Any]) -> ChatRequest:
    """Check `{prompt, messages?}`; a query string has the prompt only."""
    messages = _messages(body, "messages") if body.get("messages") is not None else []
    messages.append({"role": "user", "content": fields.text(body, "prompt")})
    return ChatRequest(messages)


def turn_request(body: Mapping[str, Any]) -> TurnRequest:
    """Check a turn with tools: as chat, with `{mode?, await?, tools?}`."""
    asked = chat_request(body)
    return TurnRequest(
        messages=asked.messages,
        mode=fields.one_of(body, "mode", get_args(Mode), "preemptive"),
        awaiting=fields.one_of(body, "await", get_args(Awaiting), "all"),
        tools=_names(body, "tools"),
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
    )


def batch_request(body: Mapping[str, Any]) -> BatchRequest:
    """Check `{prompts, limit?, max_tokens?}`: the list, but not its items."""
    prompts = fields.items(body, "prompts", MAX_PROMPTS, "texts")
    limit = fields.optional_whole_number(body, "limit", 1, MAX_BATCH_CONCURRENCY)
    return BatchRequest(
        prompts,
        DEFAULT_BATCH_CONCURRENCY if limit is None else limit,
        _max_tokens(body),
    )


def batch_item(batch: BatchRequest, index: int) -> ChatRequest:
    """Check one question of a batch."""
    prompt = fields.checked_text(batch.prompts[index], f"prompts[{index}]")
    return ChatRequest([{"role": "user", "content": prompt}], max_tokens=batch.max_tokens)


def _messages(body: Mapping[str, Any], field: str) -> list[Message]:
    messages = fields.items(body, field, MAX_MESSAGES, "messages")
    return [_message(message, f"{field}[{index}]") for index, message in enumerate(messages)]


def _message(message: Any, field: str) -> Message:
    if not isinstance(message, dict):
        raise fields.invalid(field, "must be an object with role and content")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise fields.invalid(f"{field}.role", "must be one of assistant, system, user")
    return {"role": role, "content": fields.bounded_text(content, f"{field}.content")}


def _sampled(messages: list[Message], body: Mapping[str, Any]) -> ChatRequest:
    temperature = fields.optional_number(body, "temperature", MAX_TEMPERATURE)
    return ChatRequest(messages, temperature, _max_tokens(body))


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    return fields.optional_whole_number(body, "max_tokens", 1, MAX_TOKENS)


def _names(body: Mapping[str, Any], field: str) -> list[str] | None:
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise fields.invalid(field, "must be a list of names")
    return value
