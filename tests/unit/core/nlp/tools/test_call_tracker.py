"""Streamed calls as providers really send them."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.core.nlp.completion import ToolCallDelta
from xwe.core.nlp.tools import scanner
from xwe.core.nlp.tools.call_tracker import (
    ArgumentsGrew,
    CallBegan,
    CallBroken,
    CallClosed,
    CallTracker,
)

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


def followed(pieces):
    tracker = CallTracker()
    events = [event for piece in pieces for event in tracker.add(piece)]
    return events + tracker.finish()


def check(calls, events):
    closed = [event for event in events if isinstance(event, CallClosed)]
    begun = [event for event in events if isinstance(event, CallBegan)]
    assert not [event for event in events if isinstance(event, CallBroken)]
    assert sorted((e.name, e.arguments.strip()) for e in closed) == sorted(
        (name, arguments.strip() or "{}") for name, arguments in calls
    )
    assert sorted(event.id for event in begun) == sorted(event.id for event in closed)
    assert len({event.id for event in begun}) == len(calls)
    for event in closed:
        grown = "".join(
            e.piece for e in events if isinstance(e, ArgumentsGrew) and e.id == event.id
        )
        assert grown.strip() == ("" if event.arguments == "{}" and not grown else event.arguments)


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
    check(calls, followed(pieces))


@pytest.mark.parametrize("shape", ["openai", "no_id", "repeats", "late_name", "one_id"])
@given(data=st.data())
def test_calls_whose_pieces_alternate_are_kept_apart(shape, data):
    calls, pieces = data.draw(streams(shape, interleaved=True))
    check(calls, followed(pieces))


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
        events = followed([ToolCallDelta(0, "a", "f", piece) for piece in pieces])
        # An object may end before the text does; what closed is then an object of its own.
        for event in events:
            if isinstance(event, CallClosed):
                assert isinstance(json.loads(event.arguments, strict=False), dict)


def _refuse(constant):
    raise ValueError(constant)


def test_a_call_closes_with_the_piece_that_holds_its_brace():
    tracker = CallTracker()
    assert tracker.add(ToolCallDelta(0, "a", "f", "")) == [CallBegan("a", "f")]
    assert tracker.add(ToolCallDelta(0, None, None, '{"x": 1')) == [ArgumentsGrew("a", '{"x": 1')]
    assert tracker.add(ToolCallDelta(0, None, None, "}")) == [
        ArgumentsGrew("a", "}"),
        CallClosed("a", "f", '{"x": 1}'),
    ]
    assert tracker.finish() == []


def test_a_call_without_arguments_closes_when_the_next_one_begins():
    tracker = CallTracker()
    tracker.add(ToolCallDelta(None, "a", "f", ""))
    events = tracker.add(ToolCallDelta(None, "b", "g", "{}"))
    assert events[0] == CallClosed("a", "f", "{}")


def test_a_call_without_arguments_of_an_index_of_its_own_may_still_get_them():
    tracker = CallTracker()
    tracker.add(ToolCallDelta(0, "a", "f", ""))
    assert CallClosed("a", "f", "{}") not in tracker.add(ToolCallDelta(1, "b", "g", "{}"))
    assert tracker.add(ToolCallDelta(0, None, None, '{"x": 1}'))[-1] == CallClosed(
        "a", "f", '{"x": 1}'
    )


def test_a_name_that_comes_later_than_the_arguments_is_waited_for():
    tracker = CallTracker()
    assert tracker.add(ToolCallDelta(0, "a", None, '{"x":')) == []
    assert tracker.add(ToolCallDelta(0, None, "f", " 1}")) == [
        CallBegan("a", "f"),
        ArgumentsGrew("a", '{"x": 1}'),
        CallClosed("a", "f", '{"x": 1}'),
    ]


def test_arguments_that_are_sent_again_after_the_end_are_ignored():
    tracker = CallTracker()
    tracker.add(ToolCallDelta(0, "a", "f", '{"x": 1}'))
    assert tracker.add(ToolCallDelta(0, "a", "f", '{"x": 1}')) == []


def test_a_broken_call_is_told_once_and_why():
    tracker = CallTracker()
    events = tracker.add(ToolCallDelta(0, "a", "f", '{"x": }'))
    assert isinstance(events[-1], CallBroken)
    assert "not JSON" in events[-1].reason
    assert tracker.finish() == tracker.abandon() == []


def test_half_a_call_breaks_at_the_end_and_when_it_is_abandoned():
    for end in ("finish", "abandon"):
        tracker = CallTracker()
        tracker.add(ToolCallDelta(0, "a", "f", '{"x": 1'))
        events = getattr(tracker, end)()
        assert [type(event) for event in events] == [CallBroken]


def test_an_empty_call_that_is_abandoned_does_not_run():
    tracker = CallTracker()
    tracker.add(ToolCallDelta(0, "a", "f", ""))
    assert [type(event) for event in tracker.abandon()] == [CallBroken]


@given(pieces=st.lists(st.sampled_from(["[", "]", '{"a": 1}', "{", "}", ",", "null"]), min_size=1))
def test_what_is_within_a_list_is_no_call_though_every_piece_has_the_name(pieces):
    events = followed([ToolCallDelta(0, None, "pay", piece) for piece in ["[", *pieces]])
    assert [type(event) for event in events] == [CallBegan, ArgumentsGrew, CallBroken]


def test_another_name_in_the_middle_of_an_object_is_another_call():
    events = followed([ToolCallDelta(0, None, "f", '{"a": '), ToolCallDelta(0, None, "g", "{}")])
    ends = [event for event in events if isinstance(event, CallClosed | CallBroken)]
    assert [(type(end), end.name) for end in ends] == [(CallClosed, "g"), (CallBroken, "f")]


def test_a_name_that_is_repeated_after_the_end_of_a_call_with_an_id_begins_nothing():
    tracker = CallTracker()
    tracker.add(ToolCallDelta(0, "a", "f", "{}"))
    assert tracker.add(ToolCallDelta(0, None, "f", "")) == []
    assert tracker.add(ToolCallDelta(0, "a", "f", "")) == []
    assert tracker.finish() == []


def test_an_index_that_comes_later_than_the_call_is_its_own():
    tracker = CallTracker()
    tracker.add(ToolCallDelta(None, "a", "f", ""))
    tracker.add(ToolCallDelta(0, None, None, '{"x"'))
    assert tracker.add(ToolCallDelta(0, None, None, ":1}"))[-1] == CallClosed("a", "f", '{"x":1}')


def test_the_calls_are_there_to_be_looked_at():
    tracker = CallTracker()
    tracker.add(ToolCallDelta(0, "a", "f", "{}"))
    tracker.add(ToolCallDelta(1, "b", "g", "[]"))
    tracker.add(ToolCallDelta(2, "c", "h", '{"x'))
    assert [(call.id, call.name, call.arguments, call.state) for call in tracker.calls] == [
        ("a", "f", "{}", "closed"),
        ("b", "g", "[]", "broken"),
        ("c", "h", '{"x', "growing"),
    ]


def test_arguments_that_are_too_long_break_and_say_so(monkeypatch):
    monkeypatch.setattr(scanner, "MAX_ARGUMENT_CHARACTERS", 10)
    tracker = CallTracker()
    broken = tracker.add(ToolCallDelta(0, "a", "f", '{"x": "0123456789"}'))[-1]
    assert isinstance(broken, CallBroken)
    assert "longer" in broken.reason
