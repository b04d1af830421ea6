"""A profile in words, and what of it stands in the source."""

from xwe.services.characters.sheet import as_text, quoted_fields

PROFILE = {
    "基础身份信息": {"姓名": "孙悟空", "外貌特征": "身材瘦小，毛脸雷公嘴", "年龄": ""},
    "背景故事": {"经历": ["拜师学艺", "大闹天宫"], "秘密": "不详"},
}


def test_empty_fields_are_not_told():
    assert as_text(PROFILE).splitlines() == [
        "## 基础身份信息",
        "- 姓名: 孙悟空",
        "- 外貌特征: 身材瘦小，毛脸雷公嘴",
        "",
        "## 背景故事",
        "- 经历: 拜师学艺; 大闹天宫",
        "- 秘密: 不详",
    ]


def test_what_stands_in_the_source_is_quoted_punctuation_apart():
    source = "孙悟空身材瘦小、\n毛脸雷公嘴。他大闹天宫。"
    assert quoted_fields(PROFILE, source) == {
        "基础身份信息": ["姓名", "外貌特征"],
        "背景故事": ["经历"],
    }


def test_a_chinese_word_is_a_quotation_and_what_stands_in_any_text_is_not():
    profile = {"x": {"a": "好胜", "b": "王", "c": "", "d": [], "e": "x2", "f": "the"}}
    assert quoted_fields(profile, "他好胜，是王。x2 the") == {"x": ["a"]}
    assert quoted_fields(PROFILE, "") == {}
    assert quoted_fields({"x": "text", "y": None}, "text") == {}
