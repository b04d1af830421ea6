"""The settings of the model server, and how wrong values are refused."""

import click
import pytest

from xwe.errors import InvalidRequestError
from xwe.mock import Behaviour, ScriptedToolCall
from xwe.mock.command import mock_command


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latency_s", -1),
        ("latency_s", "1"),
        ("latency_s", True),
        ("latency_s", float("nan")),
        ("tokens_per_s", 0),
        ("length", 0),
        ("length", 1.5),
        ("seed", None),
        ("text", 7),
        ("tool_calls", {"name": "weather"}),
        ("tool_calls", [{"arguments": {}}]),
        ("tool_calls", [{"name": "weather", "args": {}}]),
        ("tool_arguments", "drip"),
        ("fault", "explode"),
        ("fault", ["stall"]),
        ("finish_reason", "tired"),
        ("after_pieces", -1),
        ("status", 200),
        ("write_bytes", 0),
        ("line_end", "\n"),
    ],
)
def test_a_wrong_value_is_refused_by_name(field, value):
    with pytest.raises(InvalidRequestError, match=field) as caught:
        Behaviour(**{field: value})
    assert caught.value.field == field
    with pytest.raises(InvalidRequestError, match=rf"mock\.{field}") as caught:
        Behaviour().with_overrides({field: value})
    assert caught.value.field == f"mock.{field}"


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(InvalidRequestError, match=r"mock\.latency is unknown") as caught:
        Behaviour().with_overrides({"latency": 1})
    assert caught.value.field == "mock.latency"


def test_what_calls_turn_into_cannot_be_set_from_outside():
    with pytest.raises(InvalidRequestError, match="scripted_calls is unknown"):
        Behaviour().with_overrides({"scripted_calls": []})


@pytest.mark.parametrize("overrides", [[], "fast", 3])
def test_overrides_that_are_no_object_are_refused(overrides):
    with pytest.raises(InvalidRequestError, match="mock must be an object"):
        Behaviour().with_overrides(overrides)


def test_overrides_change_only_what_they_name():
    base = Behaviour(latency_s=2, seed=7)
    assert base.with_overrides({"latency_s": 0, "fault": "stall"}) == Behaviour(
        latency_s=0, seed=7, fault="stall"
    )


def test_tool_calls_are_taken_as_values_and_as_json():
    behaviour = Behaviour(
        tool_calls=[
            {"name": "weather", "arguments": {"city": "北京"}},
            {"name": "broken", "arguments": '{"a": ', "id": "call_7"},
            ScriptedToolCall("time"),
        ]
    )
    assert behaviour.scripted_calls == (
        ScriptedToolCall("weather", '{"city":"北京"}'),
        ScriptedToolCall("broken", '{"a": ', "call_7"),
        ScriptedToolCall("time", "{}"),
    )


def test_the_command_line_can_set_every_field_but_the_tool_calls():
    """Tool calls cannot be given on a command line, only in a request's "mock" object."""
    fields = set(Behaviour.__dataclass_fields__) - {"scripted_calls", "tool_calls"}
    options = {p.name for p in mock_command.params if isinstance(p, click.Option)}
    assert fields <= options
