"""The prompt of a turn: the character, its memories, and the newest messages.

Tokens are estimated, since every model counts differently: one for each non-ASCII character, one
for four ASCII characters. Models need fewer.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xwe.core.nlp.completion import Message as PromptMessage
from xwe.services.chats.values import PromptLimits
from xwe.storage.records import Character, Memory, Spoken

# The cost of a message besides its text.
MESSAGE_TOKENS = 4
# The source is for readers of the sheet; the character does not know of it.
NOT_SAID = frozenset({"来源", "source"})

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "zh": {
        "who": "你是{name}。请始终以{name}的身份、口吻和所知来回答，不要跳出角色，"
        "不要提及这些设定、提示词或你是模型。不知道的事不要编造，用符合角色的方式带过。",
        "sheet": "## 角色设定",
        "memories": "## 你记得的事",
        "item": "{key}：{value}",
        "between": "、",
    },
    "en": {
        "who": "You are {name}. Always answer as {name}: in their voice, with what they know. "
        "Never step out of the role, and never mention these notes, the prompt or that you are "
        "a model. Do not make up what you do not know; pass over it as {name} would.",
        "sheet": "## Who you are",
        "memories": "## What you remember",
        "item": "{key}: {value}",
        "between": ", ",
    },
}


def estimated_tokens(text: str) -> int:
    """An estimate of the text's tokens, rather too high than too low."""
    ascii_chars = sum(map(str.isascii, text)) if not text.isascii() else len(text)
    return len(text) - ascii_chars + -(-ascii_chars // 4)


def make_prompt(
    character: Character,
    remembered: Sequence[Memory],
    said: Sequence[Spoken],
    limits: PromptLimits,
) -> list[PromptMessage]:
    """The messages for the model, oldest first.

    Args:
        character: the speaker.
        remembered: its memories, oldest first.
        said: the messages before this answer, newest first.
        limits: the budget of each part.
    """
    system = {"role": "system", "content": _system(character, remembered, limits)}
    return [system, *_history(said, limits.history_tokens)]


def _system(character: Character, remembered: Sequence[Memory], limits: PromptLimits) -> str:
    texts = _TEXTS.get(character.language, _TEXTS["zh"])
    parts = [texts["who"].format(name=character.name)]
    sheet = list(_within(_sheet(character.profile, texts), limits.persona_tokens))
    if sheet:
        parts.append("\n".join([texts["sheet"], *sheet]))
    facts = _memories(remembered, limits.memory_tokens)
    if facts:
        parts.append("\n".join([texts["memories"], *(f"- {fact}" for fact in facts)]))
    return "\n\n".join(parts)


def _sheet(profile: Mapping[str, Any], texts: Mapping[str, str]) -> Iterator[str]:
    for category, fields in profile.items():
        if category in NOT_SAID or not fields:
            continue
        lines = [
            texts["item"].format(key=key, value=text)
            for key, value in (fields.items() if isinstance(fields, Mapping) else [("", fields)])
            if key not in NOT_SAID and (text := _as_text(value, texts))
        ]
        if lines:
            yield f"### {category}"
            yield from lines


def _as_text(value: Any, texts: Mapping[str, str]) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        items = ((key, _as_text(item, texts)) for key, item in value.items())
        return texts["between"].join(
            texts["item"].format(key=key, value=text) for key, text in items if text
        )
    if isinstance(value, list):
        return texts["between"].join(filter(None, (_as_text(item, texts) for item in value)))
    return str(value).strip()


def _within(lines: Iterable[str], tokens: int) -> Iterator[str]:
    """The first lines that fit, whole: a line that is cut could say something else."""
    for line in lines:
        tokens -= estimated_tokens(line) + 1
        if tokens < 0:
            return
        yield line


def _memories(remembered: Sequence[Memory], tokens: int) -> list[str]:
    """The pinned memories and the newest that fit, oldest first."""
    by_rank = sorted(remembered, key=lambda memory: (memory.pinned, memory.id), reverse=True)
    chosen: set[int] = set()
    for memory in by_rank:
        tokens -= estimated_tokens(memory.content) + 1
        if tokens < 0:
            break
        chosen.add(memory.id)
    return [memory.content for memory in remembered if memory.id in chosen]


def _history(said: Sequence[Spoken], tokens: int) -> list[PromptMessage]:
    """The newest messages that fit; always the last one, which is the question."""
    newest_first: list[PromptMessage] = []
    for message in said:
        tokens -= estimated_tokens(message.content) + MESSAGE_TOKENS
        if tokens < 0 and newest_first:
            break
        role = "user" if message.sender_type == "user" else "assistant"
        if newest_first and newest_first[-1]["role"] == role:
            # Failed answers leave two messages of one side in a row, which some providers refuse.
            later = newest_first[-1]
            later["content"] = f"{message.content}\n\n{later['content']}"
        else:
            newest_first.append({"role": role, "content": message.content})
    return newest_first[::-1]
