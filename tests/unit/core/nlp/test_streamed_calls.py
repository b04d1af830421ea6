"""Streamed calls as providers really send them, told apart and ended."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.core.nlp import tool_arguments
from xwe.core.nlp.completion import ToolCall, ToolCallDelta
from xwe.core.nlp.streamed_calls import StreamedCalls

NAMES = st.sampled_from(["weather", "food", "weather_2"])
ARGUMENTS = st.dictionaries(
    st.text(max_size=5), st.text() | st.integers() | st.lists(st.text(), max_size=2), max_size=3
).map(lambda value: json.dumps(value, ensure_ascii=False))
CALLS = st.lists(st.tuples(NAMES, ARGUMENTS | st.just("")), min_size=1, max_size=5)


def cut(draw, text):
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=4)))
    bounds = [0, *places, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


INDEX_OF = {
    "no_index": lambda _: None,
    "no_index_ids_repeated": lambda _: None,
    "one_id_no_index": lambda _: None,
    "bare": lambda _: None,
    "zero_index": lambda _: 0,
    "zero_index_ids_repeated": lambda _: 0,
    "zero_index_no_id": lambda _: 0,
}
WITHOUT_ID = {"no_id", "zero_index_no_id", "bare"}
ONE_ID = {"one_id", "one_id_no_index"}
ID_IN_EVERY_PIECE = {"repeats", "no_index_ids_repeated", "zero_index_ids_repeated", *ONE_ID}


def pieces_of(shape, number, name, pieces):
    """What a provider of this shape sends for one call."""
    index = INDEX_OF.get(shape, lambda number: number)(number)
    call_id = None if shape in WITHOUT_ID else "same" if shape in ONE_ID else f"id{number}"
    if shape == "late_name":
        yield ToolCallDelta(index, call_id)
        call_id = None
    yield ToolCallDelta(index, call_id, name, pieces[0])
    for count, piece in enumerate(pieces[1:]):
        following = call_id if shape in ID_IN_EVERY_PIECE else None
        if shape == "another_id_each_time":
            following = f"id{number}-{count}"
        yield ToolCallDelta(index, following, name if shape == "repeats" else None, piece)


@st.composite
def streams(draw, shape, *, interleaved=False):
    """Calls, and the pieces that a provider of this shape sends for them."""
    calls = draw(CALLS)
    if shape in WITHOUT_ID | ONE_ID | {"another_id_each_time"}:
        # Two calls of one name without arguments and ids cannot be told from a repeated name.
        calls = [(name, arguments or "{}") for name, arguments in calls]
    if shape in ONE_ID:
        calls = list(dict.fromkeys(calls))  # and two of the same, from one that is sent again
    columns = []
    for number, (name, arguments) in enumerate(calls):
        pieces = [arguments] if shape == "one_id_no_index" else cut(draw, arguments)
        if shape == "another_id_each_time":
            pieces = [pieces[0], *filter(None, pieces[1:])]
        columns.append(list(pieces_of(shape, number, name, pieces)))
    if not interleaved:
        return calls, [piece for column in columns for piece in column]
    mixed = []
    while any(columns):
        column = draw(st.sampled_from([column for column in columns if column]))
        mixed.append(column.pop(0))
    return calls, mixed


def read(pieces):
    """The pieces as a reader gets them, and the calls at the reply's end."""
    calls = StreamedCalls()
    told = [told for piece in pieces for told in calls.add(piece)]
    return told, [call.as_call() for call in calls.calls]


def check(calls, told, ended):
    assert sorted((call.name, call.arguments.strip()) for call in ended) == sorted(
        (name, arguments.strip()) for name, arguments in calls
    )
    assert not [call.fault for call in ended if call.fault]
    assert len({call.id for call in ended}) == len(calls)
    for index, call in enumerate(ended):
        assert call.value == json.loads(call.arguments or "{}")
        pieces = [piece for piece in told if piece.index == index]
        assert (pieces[0].id, pieces[0].name) == (call.id, call.name)
        assert {(piece.id, piece.name) for piece in pieces[1:]} <= {(None, None)}
        assert "".join(piece.arguments for piece in pieces) == call.arguments
        whole = [piece.call for piece in pieces if piece.call is not None]
        assert whole in ([call], [] if not call.arguments.strip() else [call])


@pytest.mark.parametrize(
    "shape",
    [
        "openai",
        "no_id",
        "repeats",
        "late_name",
        "one_id",
        "another_id_each_time",
        *INDEX_OF,
    ],
)
@given(data=st.data())
def test_any_split_of_any_shape_gives_the_same_calls(shape, data):
    calls, pieces = data.draw(streams(shape))
    check(calls, *read(pieces))


@pytest.mark.parametrize("shape", ["openai", "no_id", "repeats", "late_name", "one_id"])
@given(data=st.data())
def test_calls_whose_pieces_alternate_are_kept_apart(shape, data):
    calls, pieces = data.draw(streams(shape, interleaved=True))
    check(calls, *read(pieces))


@given(text=st.text(), data=st.data())
def test_what_is_not_a_json_object_never_closes(text, data):
    try:
        is_object = isinstance(json.loads(text, parse_constant=_refuse), dict)
    except ValueError:
        is_object = False
    written = text if not is_object else text[:-1]
    pieces = cut(data.draw, '{"a": ' + written + "}")
    try:
        json.loads('{"a": ' + written + "}", parse_constant=_refuse)
    except ValueError:
        _, ended = read([ToolCallDelta(0, "a", "f", piece) for piece in pieces])
        # An object may end before the text does; what closed is then an object of its own.
        assert all(call.fault or isinstance(call.value, dict) for call in ended)


def _refuse(constant):
    raise ValueError(constant)


def test_a_call_ends_with_the_piece_that_holds_its_brace():
    calls = StreamedCalls()
    assert calls.add(ToolCallDelta(0, "a", "f", "")) == (ToolCallDelta(0, "a", "f"),)
    assert calls.add(ToolCallDelta(0, None, None, '{"x": 1')) == (
        ToolCallDelta(0, arguments='{"x": 1'),
    )
    assert calls.add(ToolCallDelta(0, None, None, "}")) == (
        ToolCallDelta(0, arguments="}", call=ToolCall("a", "f", '{"x": 1}')),
    )


def test_the_arguments_are_parsed_once_and_the_call_keeps_the_value(monkeypatch):
    parsed = []
    loads = tool_arguments.orjson.loads
    monkeypatch.setattr(
        tool_arguments.orjson, "loads", lambda text: parsed.append(text) or loads(text)
    )
    calls = StreamedCalls()
    told = calls.add(ToolCallDelta(0, "a", "f", '{"x": [1]}'))
    assert told[0].call.value == {"x": [1]}
    assert calls.calls[0].as_call() is told[0].call
    assert parsed == ['{"x": [1]}']


def test_a_call_without_arguments_ends_when_the_next_one_begins():
    calls = StreamedCalls()
    calls.add(ToolCallDelta(None, "a", "f", ""))
    ended, _ = calls.add(ToolCallDelta(None, "b", "g", "{}"))
    assert (ended.index, ended.call, ended.call.value) == (0, ToolCall("a", "f", ""), {})


def test_a_call_without_arguments_of_an_index_of_its_own_may_still_get_them():
    calls = StreamedCalls()
    calls.add(ToolCallDelta(0, "a", "f", ""))
    assert [piece.index for piece in calls.add(ToolCallDelta(1, "b", "g", "{}"))] == [1]
    told = calls.add(ToolCallDelta(0, None, None, '{"x": 1}'))
    assert told[0].call == ToolCall("a", "f", '{"x": 1}')


def test_a_name_that_comes_later_than_the_arguments_is_waited_for():
    calls = StreamedCalls()
    assert calls.add(ToolCallDelta(0, "a", None, '{"x":')) == ()
    whole = ToolCall("a", "f", '{"x": 1}')
    assert calls.add(ToolCallDelta(0, None, "f", " 1}")) == (
        ToolCallDelta(0, "a", "f", '{"x": 1}', whole),
    )


def test_arguments_that_are_sent_again_after_the_end_are_ignored():
    calls = StreamedCalls()
    calls.add(ToolCallDelta(0, "a", "f", '{"x": 1}'))
    assert calls.add(ToolCallDelta(0, "a", "f", '{"x": 1}')) == ()


def test_a_broken_call_ends_once_and_says_why():
    told, ended = read([ToolCallDelta(0, "a", "f", '{"x": }'), ToolCallDelta(0, arguments="}")])
    assert len(told) == 1
    assert "not JSON" in told[0].call.fault
    assert ended == [told[0].call]


def test_half_a_call_has_a_fault_at_the_end_of_the_reply():
    told, ended = read([ToolCallDelta(0, "a", "f", '{"x": 1')])
    assert told[0].call is None
    assert (ended[0].value, "middle" in ended[0].fault) == (None, True)


@given(pieces=st.lists(st.sampled_from(["[", "]", '{"a": 1}', "{", "}", ",", "null"]), min_size=1))
def test_what_is_within_a_list_is_no_call_though_every_piece_has_the_name(pieces):
    told, ended = read([ToolCallDelta(0, None, "pay", piece) for piece in ["[", *pieces]])
    assert [piece.call.fault for piece in told] == ["The arguments must be one JSON object."]
    assert [call.arguments for call in ended] == ["".join(["[", *pieces])]


def test_another_name_in_the_middle_of_an_object_is_another_call():
    _, ended = read([ToolCallDelta(0, None, "f", '{"a": '), ToolCallDelta(0, None, "g", "{}")])
    assert [(call.name, call.value) for call in ended] == [("f", None), ("g", {})]


def test_a_name_that_is_repeated_after_the_end_of_a_call_with_an_id_begins_nothing():
    calls = StreamedCalls()
    calls.add(ToolCallDelta(0, "a", "f", "{}"))
    assert calls.add(ToolCallDelta(0, None, "f", "")) == ()
    assert calls.add(ToolCallDelta(0, "a", "f", "")) == ()
    assert len(calls.calls) == 1


def test_an_index_that_comes_later_than_the_call_is_its_own():
    calls = StreamedCalls()
    calls.add(ToolCallDelta(None, "a", "f", ""))
    calls.add(ToolCallDelta(0, None, None, '{"x"'))
    told = calls.add(ToolCallDelta(0, None, None, ":1}"))
    assert told[-1].call == ToolCall("a", "f", '{"x":1}')


def test_arguments_that_are_too_long_break_and_say_so(monkeypatch):
    monkeypatch.setattr(tool_arguments, "MAX_ARGUMENT_CHARACTERS", 10)
    told, _ = read([ToolCallDelta(0, "a", "f", '{"x": "0123456789"}')])
    assert "longer" in told[-1].call.fault
