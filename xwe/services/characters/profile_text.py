"""A profile in words, and which of its words are the source's own."""

import re
from collections.abc import Mapping
from typing import Any, Final

# What is shorter stands in any text. Two Chinese characters are a word; two letters are not.
_SHORTEST_QUOTATION: Final = 4
_SHORTEST_CHINESE_QUOTATION: Final = 2
_CHINESE: Final = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af]")
_SEPARATORS: Final = re.compile(r"[\s，。、；：！？,.;:!?“”\"'‘’（）()—-]+")


def as_text(profile: Mapping[str, Any]) -> str:
    """The categories as headings, their fields as lines; empty fields are left out."""
    lines: list[str] = []
    for category, fields in profile.items():
        if not isinstance(fields, Mapping):
            continue
        told = [(name, _told(value)) for name, value in fields.items()]
        lines += [f"## {category}", *(f"- {name}: {text}" for name, text in told if text), ""]
    return "\n".join(lines).strip()


def _told(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(str(item) for item in value if str(item).strip())
    return str(value).strip()


def quoted_fields(profile: Mapping[str, Any], source_text: str) -> dict[str, list[str]]:
    """Which fields of each category stand in the source word for word, punctuation apart.

    A list counts when one of its items does.
    """
    if not source_text:
        return {}
    source = _bare(source_text)
    found: dict[str, list[str]] = {}
    for category, fields in profile.items():
        if isinstance(fields, Mapping):
            quoted = [name for name, value in fields.items() if _is_quoted(value, source)]
            if quoted:
                found[category] = quoted
    return found


def _is_quoted(value: Any, source: str) -> bool:
    texts = value if isinstance(value, list) else [value]
    bare = (_bare(str(text)) for text in texts)
    return any(_is_long_enough(text) and text in source for text in bare)


def _is_long_enough(text: str) -> bool:
    shortest = _SHORTEST_CHINESE_QUOTATION if _CHINESE.search(text) else _SHORTEST_QUOTATION
    return len(text) >= shortest


def _bare(text: str) -> str:
    return _SEPARATORS.sub("", text).lower()
