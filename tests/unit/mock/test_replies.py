"""What the demo model says."""

import json

import pytest

from xwe.mock import Behaviour
from xwe.mock.demo_model.answering import answer
from xwe.mock.demo_model.topic import detect_language, read_topic
from xwe.mock.tokens import split_tokens


def ask(message, *, behaviour=None, before=(), **fields):
    messages = [*before, {"role": "user", "content": message}]
    return answer({"model": "demo", "messages": messages, **fields}, behaviour or Behaviour())


@pytest.mark.parametrize(
    ("message", "marks"),
    [
        ("你好", ["你好"]),
        ("用 Python 写一段代码", ["```python"]),
        ("线程和协程的区别？", ["| --- |"]),
        ("怎么部署一个应用", ["- ", "1. "]),
        ("推荐几本书", ["- **"]),
        ("写一首诗", ["> "]),
        ("嗯", ["嗯"]),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_a_chinese_question_gets_a_chinese_answer_that_admits_to_be_a_demo(message, marks, seed):
    text = ask(message, behaviour=Behaviour(seed=seed)).text
    assert "演示" in text
    assert "不是真正的大语言模型" in text
    assert "xwe" in text
    assert any(mark in text for mark in marks)


@pytest.mark.parametrize(
    ("message", "marks"),
    [
        ("Hello!", ["Hello"]),
        ("Write a function that sorts", ["```python"]),
        ("What is the difference between a thread and a coroutine?", ["| --- |"]),
        ("How do I deploy this?", ["1. ", "- "]),
        ("Suggest a few books", ["- **"]),
        ("Tell me a story", ["> "]),
        ("hm", ["hm"]),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_an_english_question_gets_an_english_answer_that_admits_to_be_a_demo(message, marks, seed):
    text = ask(message, behaviour=Behaviour(seed=seed)).text
    assert "demo" in text.lower()
    assert "not a real language model" in text
    assert any(mark in text for mark in marks)
    assert detect_language(text) == "en"


def test_the_answer_refers_to_the_message_the_turn_before_and_the_system_prompt():
    before = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "My ship is the Heron."},
        {"role": "assistant", "content": "Aye."},
    ]
    text = ask("Where did I leave it?", before=before).text
    assert "Where did I leave it?" in text
    assert "My ship is the Heron." in text
    assert "You are a pirate." in text


def test_a_quotation_with_braces_is_harmless():
    assert "{0} {quote} %s" in ask("{0} {quote} %s").text


@pytest.mark.parametrize("message", ["", [{"type": "image_url", "image_url": {"url": "x"}}]])
def test_a_message_without_text_is_answered_too(message):
    assert "No text reached me" in ask(message).text


def test_the_same_request_and_seed_give_the_same_answer_and_seeds_differ():
    texts = [ask("Hello!", behaviour=Behaviour(seed=seed)).text for seed in range(8)]
    assert texts == [ask("Hello!", behaviour=Behaviour(seed=seed)).text for seed in range(8)]
    assert len(set(texts)) > 1
    assert ask("Hello!", seed=3).text == ask("Hello!", behaviour=Behaviour(seed=3)).text


@pytest.mark.parametrize("length", [1, 7, 100, 1000])
@pytest.mark.parametrize("message", ["你好", "Hello"])
def test_a_length_is_met_exactly(message, length):
    reply = ask(message, behaviour=Behaviour(length=length))
    assert len(split_tokens(reply.text)) == length
    assert reply.usage()["completion_tokens"] == length
    assert reply.finish_reason == "stop"


def test_max_tokens_cuts_the_answer_and_says_so():
    whole = ask("Hello")
    cut = ask("Hello", max_tokens=5)
    assert whole.text.startswith(cut.text)
    assert (cut.usage()["completion_tokens"], cut.finish_reason) == (5, "length")
    assert ask("Hello", max_tokens=10_000) == whole
    assert ask("Hello", max_tokens=9, max_completion_tokens=5) == cut


def test_max_tokens_cuts_a_tool_call_in_the_middle():
    behaviour = Behaviour(
        tool_calls=[{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": {"y": 2}}]
    )
    cut = ask("Hello", behaviour=behaviour, max_tokens=3)
    assert [call.name for call in cut.tool_calls] == ["a"]
    assert '{"x":1}'.startswith(cut.tool_calls[0].arguments)
    assert cut.finish_reason == "length"


def test_a_stop_word_ends_the_answer():
    reply = ask("Hello", behaviour=Behaviour(text="one, two; three"), stop=["; ", ","])
    assert (reply.text, reply.finish_reason) == ("one", "stop")


def test_a_fixed_text_reasoning_and_finish_reason_are_taken_as_they_are():
    behaviour = Behaviour(text="so", reasoning="hm", finish_reason="content_filter")
    reply = ask("Hello", behaviour=behaviour)
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("so", "hm", "content_filter")
    assert reply.usage()["completion_tokens"] == 2


def test_json_by_schema_is_nothing_but_json():
    schema = {"type": "object", "properties": {"mood": {"enum": ["calm"]}}, "required": ["mood"]}
    described = {"type": "json_schema", "json_schema": {"name": "mood", "schema": schema}}
    assert json.loads(ask("Hello", response_format=described).text) == {"mood": "calm"}


def test_a_json_object_follows_the_example_or_the_schema_in_the_prompt():
    wanted = {"type": "json_object"}
    example = json.loads(
        ask('Reply in JSON like {"mood": "x", "parts": [{"n": 1}]}', response_format=wanted).text
    )
    assert isinstance(example["mood"], str)
    assert isinstance(example["parts"][0]["n"], int)
    schema = {"type": "object", "properties": {"n": {"const": 7}}, "required": ["n"]}
    prompt = "Reply in JSON, valid against " + json.dumps(schema)
    assert json.loads(ask(prompt, response_format=wanted).text) == {"n": 7}
    assert isinstance(json.loads(ask("Some JSON {", response_format=wanted).text), dict)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("你好", "zh"),
        ("用 Python 写一段代码", "zh"),
        ("hello", "en"),
        ("What does 你好 mean?", "en"),
        ("", "en"),
        ("1 + 1", "en"),
    ],
)
def test_the_language_is_the_one_most_of_it_is_written_in(text, language):
    assert detect_language(text) == language


def test_a_topic_knows_its_places_in_their_order_and_its_quotations():
    topic = read_topic("上海和北京的天气，写进《日记》")
    assert topic.places == ("上海", "北京")
    assert topic.quoted == ("日记",)
    assert read_topic('JSON like {"a": 1} of “x”').quoted == ("x",)
    assert read_topic("Is it cold in Upper Heyford?").places == ("Upper Heyford",)
