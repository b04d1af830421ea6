"""When the demo model calls tools, and with which arguments."""

import json

import pytest
from jsonschema.validators import Draft202012Validator

from xwe.mock import Behaviour
from xwe.mock.demo_model.answering import answer


def tool(name, description, properties, **schema):
    parameters = {"type": "object", "properties": properties, **schema}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


WEATHER = tool(
    "get_weather",
    "Get the current weather",
    {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    required=["city"],
)
FOOD = tool("local_food", "查询当地美食", {"city": {"type": "string"}}, required=["city"])
SUM = tool("calculator", "Evaluate an expression", {"expression": {"type": "string"}})
SEARCH = tool("search_notes", "Search the user's notes", {"query": {"type": "string"}})
REMIND = tool(
    "remind_me",
    "Remind the user",
    {"text": {"type": "string"}, "minutes": {"type": "integer", "minimum": 1}},
    required=["text", "minutes"],
)


def calls(message, *tools, **fields):
    body = {"model": "demo", "messages": [{"role": "user", "content": message}], "tools": tools}
    reply = answer({**body, **fields}, Behaviour())
    assert reply.finish_reason == ("tool_calls" if reply.tool_calls else "stop")
    assert (reply.text is None) == bool(reply.tool_calls)
    return [(call.name, json.loads(call.arguments)) for call in reply.tool_calls]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("What is the weather in Paris?", [("get_weather", {"city": "Paris"})]),
        ("北京的天气怎么样？", [("get_weather", {"city": "北京"})]),
        (
            "北京的天气和美食",
            [("get_weather", {"city": "北京"}), ("local_food", {"city": "北京"})],
        ),
        (
            "Compare the weather of Paris and Tokyo",
            [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Tokyo"})],
        ),
        (
            "Weather in Oslo, in fahrenheit",
            [("get_weather", {"city": "Oslo", "unit": "fahrenheit"})],
        ),
        ("计算 (3 + 4) * 5", [("calculator", {"expression": "(3 + 4) * 5"})]),
        ('Search my notes for "boats"', [("search_notes", {"query": "boats"})]),
        (
            "Remind me of “the tea” in 10 minutes",
            [("remind_me", {"text": "the tea", "minutes": 10})],
        ),
        ("Tell me a joke", []),
        ("讲个笑话", []),
    ],
)
def test_a_tool_is_called_when_the_message_is_about_it(message, expected):
    assert calls(message, WEATHER, FOOD, SUM, SEARCH, REMIND) == expected


def test_a_tool_choice_is_obeyed():
    assert calls("Tell me a joke", WEATHER, SUM, tool_choice="required")[0][0] == "get_weather"
    named = {"type": "function", "function": {"name": "calculator"}}
    assert [name for name, _ in calls("weather", WEATHER, SUM, tool_choice=named)] == ["calculator"]
    assert calls("weather in Paris", WEATHER, tool_choice="none") == []
    both = calls("weather of Paris and Tokyo", WEATHER, parallel_tool_calls=False)
    assert len(both) == 1


def test_arguments_are_always_valid_against_the_parameters():
    schema = {
        "type": "object",
        "properties": {
            "date": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
            "count": {"type": "integer", "minimum": 100},
            "city": {"type": "string", "maxLength": 3},
        },
        "required": ["date", "count", "city"],
        "additionalProperties": False,
    }
    strict = {"type": "function", "function": {"name": "book", "parameters": schema}}
    message = "book 3 rooms in Copenhagen from tomorrow"
    ((_, arguments),) = calls(message, strict, tool_choice="required")
    Draft202012Validator(schema).validate(arguments)


def test_a_tool_without_parameters_is_called_with_none():
    bare = {"type": "function", "function": {"name": "ping_server"}}
    assert calls("ping the server", bare) == [("ping_server", {})]


def test_results_are_answered_and_not_called_for_again():
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "北京的天气"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"天气": "晴", "气温": 26}'},
    ]
    body = {"model": "demo", "messages": messages, "tools": [WEATHER]}
    reply = answer(body, Behaviour())
    assert reply.tool_calls == ()
    assert "get_weather" in reply.text
    assert "天气: 晴; 气温: 26" in reply.text
    assert "演示" in reply.text
    insisting = answer({**body, "tool_choice": "required"}, Behaviour())
    assert insisting.tool_calls


def test_scripted_calls_are_made_whatever_the_message():
    behaviour = Behaviour(tool_calls=[{"name": "any", "arguments": {"a": 1}}], text="One moment.")
    body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
    reply = answer(body, behaviour)
    assert (reply.text, reply.finish_reason) == ("One moment.", "tool_calls")
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("any", '{"a":1}')]
    assert answer(body, behaviour) == reply
    assert answer({**body, "tools": [WEATHER]}, Behaviour(tool_calls=[])).tool_calls == ()
