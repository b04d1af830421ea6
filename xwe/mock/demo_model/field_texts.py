"""What the demo model writes into a text field: prepared, excerpted, or plainly demo data."""

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from xwe.mock.demo_model.topic import Language, Topic, detect_language
from xwe.mock.demo_model.vocabulary import plain_name, read_data, vocabulary

# One sentence for all fields would say the same thing everywhere.
_FEWEST_SENTENCES: Final = 2
_SHORTEST: Final = 4
_LONGEST: Final = 400
_ENDS: Final = re.compile(r"(?<=[。！？])|(?<=[.!?])\s+|\n+")
# The material has a heading: a short line below an empty one, which ends with a colon.
_HEADING: Final = re.compile(r"\n\s*\n[^\n]{1,40}[:：]\n")
_EXCERPT: Final[Mapping[Language, str]] = {"zh": "（演示摘录）", "en": "(Demo excerpt) "}
# Headings, labels and our own marks, in material that is itself a sheet.
_MARKS: Final = re.compile(
    r"^## .*$|^- [^:：\n]{1,40}[:：] ?|（演示摘录）|\(Demo excerpt\) ", re.MULTILINE
)
_NO_MATERIAL: Final = re.compile(r"[{}]|演示|\bdemo\b", re.IGNORECASE)


def prepared_fields(schema: Mapping[str, Any], topic: Topic) -> dict[str, Any] | None:
    """The fields of a bundled sample's sheet that a schema asks for.

    None when the message is not about a sample, or the schema has other fields too.
    """
    names = schema.get("properties") or ()
    for marks, sheet in _sheets():
        if any(mark in topic.message for mark in marks) and sheet.keys() >= set(names):
            return {name: _prepared(sheet[name], topic) for name in names}
    return None


@cache
def _sheets() -> Sequence[tuple[Sequence[str], Mapping[str, Any]]]:
    sheets = map(read_data, ("sheet_zh", "sheet_en"))
    return [(sheet["marks"], sheet["fields"]) for sheet in sheets]


def _prepared(value: Any, topic: Topic) -> Any:
    return _named(value, topic) if isinstance(value, str) else value


def _named(text: str, topic: Topic) -> str:
    nobody = "演示人物" if topic.language == "zh" else "a demo character"
    return text.replace("{name}", topic.quoted[0] if topic.quoted else nobody)


def field_text(key: str, topic: Topic, start: int, nth: int | None) -> str:
    """A text for a field.

    Args:
        key: the field's name.
        topic: what the text should be about.
        start: varies the choice where there are several texts.
        nth: the text's place in a list, whose texts differ; None for a single text.
    """
    name = plain_name(key)
    # A Chinese field holds Chinese text, whatever the language around it.
    language = "zh" if detect_language(key) == "zh" else topic.language
    if name in ("name", "姓名") and topic.quoted:
        return topic.quoted[0]
    for words in vocabulary().fields:
        if words.names.search(name):
            texts = words.zh if language == "zh" else words.en
            return _named(_chosen(texts, start, nth), topic)
    sentences = _sentences(topic.message, topic.language)
    if sentences:
        text = _chosen(sentences, start, nth)
        return text if nth is not None else _EXCERPT[topic.language] + text
    return _chosen([_demo_text(name.replace("_", " ").strip(), topic, language)], start, nth)


def _demo_text(label: str, topic: Topic, language: Language) -> str:
    if language == "zh":
        about = topic.quoted[0] if topic.quoted else topic.quote(16)
        return f"关于“{about}”的{label or '内容'}（演示数据）"
    about = topic.quoted[0] if topic.quoted else topic.quote(24)
    return f"Demo data: {label or 'text'} about “{about}”"


def _chosen(texts: Sequence[str], start: int, nth: int | None) -> str:
    """One of the texts; a longer list repeats them with numbers."""
    index = nth or 0
    text = texts[(start + index) % len(texts)]
    return text if index < len(texts) else f"{text} {index + 1}"


@lru_cache(maxsize=64)
def _sentences(message: str, language: Language) -> Sequence[str]:
    """The sentences of the text in the message, as far as they are in that language."""
    found = _HEADING.search(message)
    text = _MARKS.sub("", message[found.end() :]) if found else ""
    sentences = (" ".join(each.split()).removeprefix("; ") for each in _ENDS.split(text))
    fitting = (s for s in sentences if _SHORTEST <= len(s) <= _LONGEST)
    kept = [
        s
        for s in dict.fromkeys(fitting)
        if not _NO_MATERIAL.search(s) and detect_language(s) == language
    ]
    return kept if len(kept) >= _FEWEST_SENTENCES else ()
