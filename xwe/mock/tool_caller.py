"""Which tools the demo model calls, and with which arguments."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from jsonschema.validators import Draft202012Validator
from referencing import Registry

from xwe.mock.protocol import ReplyToolCall
from xwe.mock.schema_filler import fill_schema
from xwe.mock.topic import Topic

_MOST_CALLS: Final = 4
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_HAN_RUN: Final = re.compile(r"[㐀-鿿]{2,}")
_SHORTEST_WORD: Final = 3
# Words that stand in most descriptions and so say nothing about one.
_COMMON_TEXT: Final = """
    the and for get fetch find with from that this given return returns current data information
    info use used about can will your you are what tool call function please into all any one value
    result results name text string number list user how out its
    一个 指定 获取 查询 返回 信息 内容 结果 数据 当前 进行 用户 工具 函数 名称
    请问 什么 怎么 可以 给我 告诉 帮我
"""
_COMMON: Final = frozenset(_COMMON_TEXT.split())
# What people ask for in one language and tools are named in another.
_SAME_THING: Final[Mapping[str, str]] = {
    "weather": "天气",
    "temperature": "气温|温度",
    "time": "时间|几点",
    "date": "日期|几号|星期几",
    "search": "搜索|查找|搜一下",
    "food": "美食|好吃|小吃|吃什么",
    "restaurant": "餐厅|饭馆|美食",
    "calculate": "计算|算一下|等于多少",
    "calculator": "计算|算一下|等于多少",
    "translate": "翻译",
    "stock": "股票|股价",
    "price": "价格|多少钱",
    "news": "新闻",
    "route": "路线|怎么走",
    "map": "地图|路线",
    "hotel": "酒店|住宿",
    "flight": "航班|机票",
    "train": "火车|高铁",
    "email": "邮件|邮箱",
    "remind": "提醒",
    "reminder": "提醒",
    "calendar": "日历|日程",
    "order": "订单",
    "music": "音乐|歌",
    "movie": "电影",
    "attraction": "景点",
    "sight": "景点",
}

_PLACE_KEY: Final = re.compile(
    r"city|town|location|place|destination|region|城市|地点|地区", re.IGNORECASE
)
_WHOLE_KEY: Final = re.compile(
    r"^(q|query|question|message|prompt|input|keywords?|topic|text|content|查询|问题|关键词|内容)$",
    re.IGNORECASE,
)
_SUM_KEY: Final = re.compile(r"expression|formula|算式|表达式", re.IGNORECASE)
_DATE_KEY: Final = re.compile(r"date|day|日期", re.IGNORECASE)
_ADDRESS_KEY: Final = re.compile(r"url|link|email|网址|邮箱", re.IGNORECASE)
_SUM: Final = re.compile(r"[\d(][\d\s.+\-*/×÷()^%]*[\d)]")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_ADDRESS: Final = re.compile(r"https?://\S+|[\w.+-]+@[\w-]+\.[\w.]+")
# As JSON writes them, and not longer than anybody means.
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,9})?")


def choose_calls(body: Mapping[str, Any], topic: Topic, seed: int) -> tuple[ReplyToolCall, ...]:
    """The calls that a chat request asks for; none where it does not.

    Raises:
        InvalidRequestError: a tool's parameters are a schema that cannot be filled.
    """
    tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()}
    choice = body.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return ()
    if isinstance(choice, dict):
        chosen = [choice["function"]["name"]]
    else:
        chosen = [name for name, tool in tools.items() if _is_meant(tool, topic)]
        if not chosen and choice == "required":
            chosen = [next(iter(tools))]
    calls = [
        (name, arguments)
        for name in chosen
        for arguments in _argument_sets(tools[name].get("parameters") or {}, topic, seed)
    ]
    most = 1 if body.get("parallel_tool_calls") is False else _MOST_CALLS
    return tuple(
        ReplyToolCall(call_id(index, name, arguments, seed), name, arguments)
        for index, (name, arguments) in enumerate(calls[:most])
    )


def call_id(index: int, name: str, arguments: str, seed: int) -> str:
    """An id in the usual shape, the same for the same call at the same place."""
    digest = hashlib.sha256(f"{seed}:{index}:{name}:{arguments}".encode(errors="replace"))
    return f"call_{digest.hexdigest()[:24]}"


def _is_meant(tool: Mapping[str, Any], topic: Topic) -> bool:
    """Whether the message has a word in common with the tool's description of itself."""
    properties = (tool.get("parameters") or {}).get("properties", {})
    described = " ".join(
        [
            tool["name"],
            tool.get("description", ""),
            *properties,
            *(str(p.get("description", "")) for p in properties.values() if isinstance(p, dict)),
        ]
    )
    tool_words, message_words = _words(described), _words(topic.message)
    if tool_words & message_words:
        return True
    return any(
        (english in tool_words and re.search(chinese, topic.message))
        or (english in message_words and re.search(chinese, described))
        for english, chinese in _SAME_THING.items()
    )


def _words(text: str) -> set[str]:
    words = {word.lower().removesuffix("s") for word in _WORD.findall(text)}
    words = {word for word in words if len(word) >= _SHORTEST_WORD}
    for run in _HAN_RUN.findall(text):
        words.update(run[at : at + 2] for at in range(len(run) - 1))
    return words - _COMMON


def _argument_sets(schema: Mapping[str, Any], topic: Topic, seed: int) -> Iterator[str]:
    """Arguments for one call, or for one call a place where the message names several."""
    by_place = any(_PLACE_KEY.search(key) for key in schema.get("properties", {}))
    topics = [replace(topic, places=(place,)) for place in topic.places] if by_place else []
    for one in topics or [topic]:
        yield json.dumps(_arguments(schema, one, seed), ensure_ascii=False)


def _arguments(schema: Mapping[str, Any], topic: Topic, seed: int) -> dict[str, Any]:
    """What is required, and what the message says of the rest."""
    filled = fill_schema(schema, topic, seed, field="tools") if schema else {}
    if not isinstance(filled, dict):
        return {}
    validator = Draft202012Validator(schema, registry=Registry())
    properties, required = schema.get("properties", {}), schema.get("required", ())
    said = {}
    for key, hint in _hints(properties, topic):
        if validator.is_valid(filled | {key: hint}):
            filled[key] = said[key] = hint
    kept = {key: value for key, value in filled.items() if key in required or key in said}
    return kept if kept and validator.is_valid(kept) else filled


def _hints(properties: Mapping[str, Any], topic: Topic) -> Iterator[tuple[str, Any]]:
    """What the message itself says about the parameters."""
    numbers = iter(_NUMBER.findall(topic.message))
    quoted = iter(topic.quoted)
    for key, schema in properties.items():
        kind = schema.get("type") if isinstance(schema, dict) else None
        hint: Any = None
        if kind in ("integer", "number"):
            number = next(numbers, None)
            hint = json.loads(number) if number else None
        elif kind == "string" and "enum" not in schema:
            hint = _text_hint(key, topic, quoted)
        elif kind == "string":
            members = (m for m in schema["enum"] if isinstance(m, str) and m in topic.message)
            hint = next(members, None)
        if hint is not None:
            yield key, hint


def _text_hint(key: str, topic: Topic, quoted: Iterator[str]) -> str | None:
    if _PLACE_KEY.search(key):
        return topic.places[0] if topic.places else None
    for words, said in ((_SUM_KEY, _SUM), (_DATE_KEY, _DATE), (_ADDRESS_KEY, _ADDRESS)):
        if words.search(key):
            found = said.search(topic.message)
            return found[0].strip() if found else None
    if _WHOLE_KEY.match(key):
        return next(quoted, None) or topic.message.strip()
    return next(quoted, None)
