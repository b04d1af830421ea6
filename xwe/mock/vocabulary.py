"""Plausible texts and numbers for the names that fields have, in Chinese and in English."""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final

from xwe.mock.excerpts import excerpt
from xwe.mock.topic import Language, Topic, detect_language

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# Words of a field's name -> (Chinese, English) texts. The first entry that matches is used.
_TEXTS: Final[Sequence[tuple[str, Sequence[str], Sequence[str]]]] = (
    (
        "consistency|一致性",
        ("始终以本人的身份与口吻说话。",),
        ("always speaks as the same person, in the same voice",),
    ),
    (
        "preference|偏好控制",
        ("多谈亲身经历，少讲空话。",),
        ("prefers what was lived through to theory",),
    ),
    (
        "safety|安全",
        ("不提供会伤害他人的办法。",),
        ("gives no advice that could harm anyone",),
    ),
    (
        "scope|范围",
        ("只演这个人物知道的事与所在的时代。",),
        ("plays what this figure knows, within its own time",),
    ),
    ("email|邮箱|邮件地址", ("lin@example.com",), ("sam@example.com", "kim@example.com")),
    ("url|link|href|网址|链接", ("https://example.com/zh",), ("https://example.com",)),
    ("phone|mobile|电话|手机", ("13800000000",), ("+1-555-0100",)),
    ("datetime|timestamp|时间戳", ("2026-03-14T09:30:00Z",), ("2026-03-14T09:30:00Z",)),
    ("birthday|date|日期|生日", ("2026-03-14", "2026-10-01"), ("2026-03-14", "2026-07-04")),
    ("time|时间$|时刻", ("09:30", "18:00"), ("09:30", "18:00")),
    (
        "city|town|location|place|城市|地点|位置",
        ("北京", "杭州", "成都"),
        ("Paris", "Tokyo", "Oslo"),
    ),
    ("country|nation|国家|国籍", ("中国", "日本"), ("France", "Japan", "Norway")),
    ("address|地址", ("杭州市西湖路 1 号",), ("1 Harbour Street",)),
    ("language|locale|语言$|语种", ("中文",), ("English",)),
    ("currency|货币|币种", ("CNY",), ("EUR", "USD")),
    ("unit|单位", ("摄氏度",), ("celsius",)),
    ("colou?r|颜色", ("青色", "绯红"), ("teal", "crimson")),
    ("gender|sex|性别", ("女", "男"), ("female", "male")),
    ("age|年龄", ("二十六岁", "三十出头"), ("26", "in the early thirties")),
    ("job|occupation|profession|职业", ("茶师", "游侠", "档案管理员"), ("archivist", "ferryman")),
    (
        "first_message|greeting|开场白|问候",
        ("你来了。坐下说吧，今天想聊些什么？",),
        ("There you are. Sit down, and tell me what brings you here.",),
    ),
    (
        "nickname|alias|titles_of_address|称谓|头衔|昵称",
        ("先生", "小师妹"),
        ("the Quiet One", "Captain"),
    ),
    ("name|fullname|姓名|名字|名称", ("林晓", "沈舟", "顾南"), ("Alex Reed", "Mara Lind")),
    (
        "title|heading|subject|标题|题目",
        ("一个演示标题", "关于这件事"),
        ("A demo title", "On this matter"),
    ),
    ("appearance|外貌|长相", ("身形清瘦，目光沉静",), ("slight, with calm grey eyes",)),
    (
        "personality|trait|性格",
        ("外冷内热", "耐心而固执"),
        ("reserved but warm", "patient and stubborn"),
    ),
    ("belief|价值观", ("守信重于一切",), ("a promise outweighs comfort",)),
    ("emotion|mood|情绪", ("平静", "略带忧虑"), ("calm", "a little worried")),
    (
        "tone|style|语气|风格|说话方式",
        ("简洁、温和，偶尔幽默",),
        ("brief, gentle, now and then wry",),
    ),
    ("like|prefer|偏好|喜好", ("清茶和旧书",), ("black tea and old books",)),
    ("dislike|hate|厌恶", ("空洞的承诺",), ("empty promises",)),
    ("motivation|goal|aim|动机|目标", ("找回失散的家人",), ("to find a lost sister",)),
    ("origin|birthplace|出身", ("江南水乡的小镇",), ("a small harbour town",)),
    (
        "experience|history|event|经历",
        ("少年离家", "三年学艺", "重返故里"),
        ("left home early", "came back"),
    ),
    ("relation|friend|关系", ("师父：沈舟", "旧友：顾南"), ("mentor: Mara", "old friend: Reed")),
    ("secret|秘密", ("那封信一直没有寄出",), ("the letter was never sent",)),
    (
        "skill|ability|knowledge|技能|知识|能力",
        ("辨茶", "观星", "古文字"),
        ("navigation", "old scripts"),
    ),
    (
        "limit|constraint|rule|限制|约束|规则",
        ("不谈及未发生的事",),
        ("never speaks of the future",),
    ),
    ("world|setting|世界观|环境", ("灵气将尽的江湖",), ("an age when magic is running out",)),
    (
        "biography|简介",
        ("一个在演示里登场的人物，话不多，记性很好。",),
        ("A figure out of a demo, with few words and a good memory.",),
    ),
    (
        "background|身份背景",
        ("在市井中长大，凭一身本领立足。",),
        ("grew up among travellers and lives by a craft",),
    ),
    ("values", (), ("keeps a promise, whatever it costs",)),
    ("manner", (), ("brief and courteous, with a story at hand",)),
    (
        "current_situation|处境",
        ("暂住在一座小城，等一封回信。",),
        ("waits for a letter in a quiet town",),
    ),
    (
        "pattern|互动模式",
        ("先听对方说完，再反问一句，最后给出看法。",),
        ("listens first, asks one question back, then says what to do",),
    ),
    (
        "intent|意图",
        ("陪对方聊天，说出自己的经历与见解。",),
        ("to keep company and to share what was seen and learned",),
    ),
    (
        "trigger|触发",
        ("有人提起旧事，或请求帮忙。",),
        ("somebody mentions the past, or asks for help",),
    ),
    ("timeline|时间线", ("故事发生在一次远行之后。",), ("the story begins after a long journey",)),
    (
        "resource|资源",
        ("几位可靠的朋友，和一件用惯了的工具。",),
        ("a few reliable friends, and one well-worn tool",),
    ),
    ("tag|keyword|label|标签|关键词", ("演示", "示例", "样本"), ("demo", "sample", "example")),
    ("code|编号|代码", ("DEMO-001",), ("DEMO-001",)),
    ("id|uuid|标识", ("demo-0001",), ("demo-0001",)),
    ("category|kind|type|类别|类型|分类", ("一般",), ("general",)),
    ("status|state$|状态", ("正常",), ("ok",)),
    ("sentiment|情感", ("积极",), ("positive",)),
    (
        "reason|why|rationale|理由|原因",
        ("这是演示数据，没有真实的推理",),
        ("demo data, no real reasoning",),
    ),
)


def _field_names(words: str) -> re.Pattern[str]:
    """Finds one of the words in a field's name: English ones whole, Chinese ones anywhere."""
    english = "|".join(word for word in words.split("|") if word.isascii())
    others = "|".join(word for word in words.split("|") if not word.isascii())
    return re.compile(rf"(?<![a-z])(?:{english})s?(?![a-z])" + (f"|{others}" if others else ""))


_COMPILED: Final = [(_field_names(words), zh, en) for words, zh, en in _TEXTS]
_NAME: Final = _field_names("^name|fullname|姓名|^名字$")

_FORMATS: Final[Mapping[str, str]] = {
    "date-time": "2026-03-14T09:30:00Z",
    "date": "2026-03-14",
    "time": "09:30:00Z",
    "duration": "PT30M",
    "email": "demo@example.com",
    "idn-email": "demo@example.com",
    "hostname": "example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "iri": "https://example.com/",
    "uri-reference": "/demo",
    "json-pointer": "/demo",
    "regex": "^demo$",
}

_RANGES: Final[Sequence[tuple[str, float, float]]] = (
    ("confidence|probability|likelihood|ratio|概率|置信", 0.6, 0.99),
    ("percent|百分", 5, 95),
    ("rating|stars|评分|星级", 3, 5),
    ("score|得分|分数", 60, 98),
    ("age|年龄", 18, 60),
    ("year|年份", 1990, 2026),
    ("month|月份", 1, 12),
    ("day|天数|日$", 1, 28),
    ("temperature|气温|温度", 8, 28),
    ("price|cost|amount|价格|金额", 10, 200),
    ("latitude|纬度", 20, 50),
    ("longitude|经度", 75, 130),
    ("importance|priority|重要|优先", 1, 5),
    ("count|number|quantity|limit|数量|个数", 1, 10),
)
_COMPILED_RANGES: Final = [(_field_names(words), low, high) for words, low, high in _RANGES]


def text_for_name(key: str, topic: Topic, rng: random.Random) -> str | None:
    """A plausible text for a field of this name; None for a name that says nothing."""
    name = _plain(key)
    if topic.quoted and _NAME.search(name):
        return topic.quoted[0]
    quoted = excerpt(name, topic, rng)
    if quoted is not None:
        return quoted
    for words, chinese, english in _COMPILED:
        if words.search(name):
            return rng.choice(chinese if _language(key, topic) == "zh" else english)
    return None


def _plain(key: str) -> str:
    """The name as words with "_" between them, whichever way they were joined."""
    return _HUMP.sub("_", key).replace("-", "_").replace(" ", "_").lower()


def demo_text(key: str, topic: Topic) -> str:
    """A text for any field, that says what it is."""
    label = _plain(key).replace("_", " ").strip()
    if _language(key, topic) == "zh":
        return f"关于“{topic.quote(16)}”的{label or '内容'}（演示数据）"
    return f"Demo {label or 'text'} about “{topic.quote(24)}”"


def _language(key: str, topic: Topic) -> Language:
    """A Chinese field holds Chinese text, whatever the language around it."""
    return "zh" if detect_language(key) == "zh" else topic.language


def text_for_format(name: str, rng: random.Random) -> str | None:
    """A text in one of JSON Schema's formats; None for one that is not known here."""
    if name == "uuid":
        digits = f"{rng.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
    return _FORMATS.get(name)


def range_for_name(key: str) -> tuple[float, float]:
    """Between which numbers a field of this name plausibly lies."""
    name = _plain(key)
    for words, low, high in _COMPILED_RANGES:
        if words.search(name):
            return low, high
    return 1, 100
