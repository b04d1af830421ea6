"""What a message's own text says about a field: its sentences with the field's tell-tale words.

A demo model does not understand a text, but it can quote it. That is done where there is a text of
some length, in the language that is wanted.
"""

import random
import re
from functools import lru_cache
from typing import Final

from xwe.mock.topic import Topic, detect_language

_FEWEST_SENTENCES: Final = 6
_SHORTEST: Final = 8
_LONGEST: Final = 400
_ENDS: Final = re.compile(r"(?<=[。！？])|(?<=[.!?])\s+|\n+")
_BELOW_COLON: Final = re.compile(r"[:：]\n")
_MALE: Final = re.compile(r"他|\b(?:he|his|him)\b", re.IGNORECASE)
_FEMALE: Final = re.compile(r"她|\b(?:she|her|hers)\b", re.IGNORECASE)
# A line of a sheet, as "- Age: 30".
_LABELLED: Final = re.compile(r"^- ([^:：\n]{1,40})[:：] (.+)$", re.MULTILINE)

# A field's name -> what the sentences about it have in them.
_EVIDENCE: Final = tuple(
    (re.compile(field), re.compile(tells))
    for field, tells in (
        ("外貌|appearance", "身材|毛脸|头戴|穿着|腰围|眼睛|feet tall|eyes are|nose|wears|lean"),
        ("身份背景|background$", "主角|出身|身份|是.{0,12}的|detective|profession|lives in"),
        ("称谓|^titles", "尊为|封他|得名|自称|addresses|consulting|known as"),
        ("职业|occupation", "封他做|职业|担任|the only one of his profession|works beside"),
        ("性格|traits", "性子|性急|好胜|机灵|聪明|restless|vain|impatient|gentle"),
        ("价值观|^values", "情义|嫉恶如仇|约定|记着|justice|interesting and not|prefers"),
        ("情绪|emotional", "忧愁|发愁|含泪|不耐烦|dark|restless|strong feelings|fainted"),
        ("说话|语气|语言风格|speech|tone|language.style", "自称|常说|开口|speaks|addresses"),
        ("偏好$|^likes", "喜欢|爱听|偷吃|plays the violin|likes to|takes cases"),
        ("厌恶|dislike", "最恨|讨厌|厌恶|见不得|dislikes|distrusts|hates|rebels"),
        ("动机|任务目标|motivation|goals", "寻访|保护|为了|取经|takes cases|mind rebels|hopes to"),
        ("出身|origin", "出世|迸裂|生于|没有父母|born|came from|lives in"),
        (
            "经历|experience|event",
            "后来|逐出|偷|闯进|学会|压在|历经|fought|came back|outwitted|told",
        ),
        ("当前|current", "最后|以后|如今|现在|hopes to retire|lives in|shares the rooms"),
        ("关系|relation", "师父|八戒|祖师|师徒|朋友|friend|brother|enemy|landlady|Inspector"),
        ("秘密|secret", "不许说|从来没有|瞒|秘密|let the world believe|in disguise|secret"),
        ("知识|knowledge", "查清|知道|来历|火眼金睛|He knows|knows the|history of"),
        ("技能|skills", "变化|筋斗云|本领|学会|boxer|method is|chemical|disguise"),
        ("^限制|limitations", "不善|怕|折扣|did not know|too lazy|cannot|vain"),
        ("环境|世界观|world", "天庭|洲|龙宫|地府|century|London|Scotland Yard"),
        ("时间线|timeline", "五百年|几百年|后来|three years|nineteenth century|one spring"),
        ("社会规则|social", "封|招安|约定|credit|police|law|Scotland Yard"),
        ("外部资源|resources", "金箍棒|救兵|筋斗云|Irregulars|Watson|Mycroft"),
        ("facts?$|事实", "."),
    )
)
# A biography is made of these lines of the sheet.
_TELLING: Final = re.compile(
    "身份背景|性格特质|动机与目标|Background$|Personality traits|Motivation and goals"
)


def excerpt(name: str, topic: Topic, rng: random.Random) -> str | None:
    """A sentence of the message that is about the field `name`; None where there is none."""
    if "简介" in name or "biography" in name:
        return _biography(topic)
    if "性别" in name or "gender" in name:
        return _gender(topic)
    for field, tells in _EVIDENCE:
        if field.search(name):
            fitting = [each for each in _sentences(topic) if tells.search(each)]
            return rng.choice(fitting) if fitting else None
    return None


def _biography(topic: Topic) -> str | None:
    lines = _LABELLED.findall(topic.message)
    told = list(dict.fromkeys(text.strip() for label, text in lines if _TELLING.search(label)))
    return " ".join(told) if topic.language == "en" else "".join(told) or None


def _gender(topic: Topic) -> str | None:
    text = "".join(_sentences(topic))
    male, female = len(_MALE.findall(text)), len(_FEMALE.findall(text))
    if male == female:
        return None
    if topic.language == "zh":
        return "男" if male > female else "女"
    return "male" if male > female else "female"


def _sentences(topic: Topic) -> tuple[str, ...]:
    found = _split(topic.message)
    if len(found) < _FEWEST_SENTENCES:
        return ()
    return tuple(each for each in found if detect_language(each) == topic.language)


@lru_cache(maxsize=64)
def _split(message: str) -> tuple[str, ...]:
    """The sentences of the text in the message: it begins below a line that ends with a colon."""
    found = _BELOW_COLON.search(message)
    text = message[found.end() :] if found else ""
    sentences = (" ".join(each.split()) for each in _ENDS.split(text))
    return tuple(each for each in sentences if _SHORTEST <= len(each) <= _LONGEST)
