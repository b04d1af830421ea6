"""What is known about a character: eight categories of fields, in Chinese and in English.

People read the names, so a profile has them in its own language. Both languages have the same
categories and fields in the same order: position maps one to the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from xwe.errors import InvalidRequestError

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

# An edited field may hold a page of text, but not a book.
MAX_FIELD_CHARS: Final = 20_000
MAX_ITEMS: Final = 200
# How much of an unknown field's name an error repeats.
_SHOWN_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Category:
    """One part of a profile. Fields in `lists` hold a list of texts, the others one text."""

    name: str
    fields: tuple[str, ...]
    lists: frozenset[str] = frozenset()

    def schema(self, *without: str) -> dict[str, Any]:
        """The JSON Schema of its value, without the fields named in `without`."""
        fields = [field for field in self.fields if field not in without]
        return {
            "type": "object",
            "properties": {field: self._field_schema(field) for field in fields},
            "required": fields,
            "additionalProperties": False,
        }

    def _field_schema(self, field: str) -> dict[str, Any]:
        text = {"type": "string", "maxLength": MAX_FIELD_CHARS}
        if field in self.lists:
            return {"type": "array", "items": text, "maxItems": MAX_ITEMS}
        return text

    def check(self, value: Any) -> None:
        """Check untrusted input against `schema()`.

        By hand, since a validator visits every item of a list before it checks the length, and
        prints an invalid value whatever its size.

        Raises:
            InvalidRequestError: it does not fit; names the first field that is wrong.
        """
        if not isinstance(value, dict):
            raise _wrong(self.name, "must be an object")
        for field in self.fields:
            where = f"{self.name}.{field}"
            if field not in value:
                raise _wrong(where, "is missing")
            if field in self.lists:
                _check_list(where, value[field])
            else:
                _check_text(where, value[field])
        if len(value) > len(self.fields):
            unknown = next(field for field in value if field not in self.fields)
            raise _wrong(f"{self.name}.{unknown[:_SHOWN_CHARS]}", "is no field of this category")


def _check_list(where: str, value: Any) -> None:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise _wrong(where, f"must be a list of at most {MAX_ITEMS} texts")
    for at, item in enumerate(value):
        _check_text(f"{where}.{at}", item)


def _check_text(where: str, value: Any) -> None:
    if not isinstance(value, str) or len(value) > MAX_FIELD_CHARS:
        raise _wrong(where, f"must be a text of at most {MAX_FIELD_CHARS} characters")


def _wrong(where: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(f"{where} {problem}.", field=where)


def _categories(lists: frozenset[str], table: Mapping[str, str]) -> tuple[Category, ...]:
    return tuple(
        Category(name, fields, lists & set(fields))
        for name, fields in ((name, tuple(line.split("|"))) for name, line in table.items())
    )


PROFILE_CATEGORIES: Final[Mapping[Language, tuple[Category, ...]]] = {
    "zh": _categories(
        frozenset({"经历", "关系网络"}),
        {
            "基础身份信息": "姓名|年龄|性别|职业|身份背景|外貌特征|称谓/头衔|人物简介",
            "个性与行为设定": "性格特质|价值观|情绪风格|说话方式|偏好|厌恶|动机与目标",
            "背景故事": "出身|经历|当前处境|关系网络|秘密",
            "知识与能力": "知识领域|技能|限制",
            "对话与交互规范": "语气|语言风格|行为约束|互动模式",
            "任务/功能性信息": "任务目标|对话意图|交互限制|触发条件",
            "环境与世界观": "世界观|时间线|社会规则|外部资源",
            "系统与控制参数": "一致性控制|偏好控制|安全限制|演绎范围",
        },
    ),
    "en": _categories(
        frozenset({"Experiences", "Relationships"}),
        {
            "Basic identity": ("Name|Age|Gender|Occupation|Background|Appearance|Titles|Biography"),
            "Personality and behaviour": (
                "Personality traits|Values|Emotional style|Manner of speech|Likes|Dislikes"
                "|Motivation and goals"
            ),
            "Background story": "Origin|Experiences|Current situation|Relationships|Secrets",
            "Knowledge and abilities": "Fields of knowledge|Skills|Limitations",
            "Dialogue and interaction": (
                "Tone|Language style|Behavioural constraints|Interaction patterns"
            ),
            "Tasks and functions": (
                "Task goals|Intent of the dialogue|Interaction limits|Triggers"
            ),
            "Environment and worldview": "Worldview|Timeline|Social rules|External resources",
            "System and control": (
                "Consistency control|Preference control|Safety limits|Scope of the role"
            ),
        },
    ),
}

# The last field of the first category, written when all the others are known.
BIOGRAPHY: Final[Mapping[Language, str]] = {
    language: categories[0].fields[-1] for language, categories in PROFILE_CATEGORIES.items()
}
FIRST_MESSAGE: Final[Mapping[Language, str]] = {"zh": "开场白", "en": "First message"}
# Where the character comes from: recorded by the application, never generated.
SOURCE: Final[Mapping[Language, str]] = {"zh": "来源", "en": "Source"}


def biography_schema(language: Language) -> dict[str, Any]:
    """The JSON Schema of what is written last: the biography and the first message."""
    text = {"type": "string", "minLength": 1, "maxLength": MAX_FIELD_CHARS}
    fields = [BIOGRAPHY[language], FIRST_MESSAGE[language]]
    return {
        "type": "object",
        "properties": dict.fromkeys(fields, text),
        "required": fields,
        "additionalProperties": False,
    }


def find_category(language: Language, name: str) -> Category | None:
    """The category of that name; None if there is none."""
    return next((each for each in PROFILE_CATEGORIES[language] if each.name == name), None)


def as_language(code: str) -> Language:
    """The language of a stored code; Chinese if the code is unknown."""
    return "en" if code == "en" else "zh"
