from xwe.core.nlp.assembly import ReplyAssembly
from xwe.core.nlp.completion import Delta, ToolCallDelta, Usage


def assembled(*deltas: Delta):
    assembly = ReplyAssembly("m")
    for delta in deltas:
        assembly.add(delta)
    return assembly.completion()


def test_the_whole_reply_is_the_sum_of_its_pieces() -> None:
    completion = assembled(
        Delta("你"),
        Delta("好", extra={"reasoning_content": "hm"}),
        Delta(extra={"reasoning_content": "m"}),
        Delta(finish_reason="stop"),
        Delta(usage=Usage(1, 2, 3)),
    )
    assert completion.text == "你好"
    assert completion.finish_reason == "stop"
    assert completion.usage == Usage(1, 2, 3)
    assert completion.message == {
        "role": "assistant",
        "content": "你好",
        "reasoning_content": "hmm",
    }


def test_interleaved_tool_calls_are_told_apart_by_their_index() -> None:
    completion = assembled(
        Delta(tool_calls=(ToolCallDelta(0, "a", "weather", '{"c'),)),
        Delta(tool_calls=(ToolCallDelta(1, "b", "food", '{"d'),)),
        Delta(tool_calls=(ToolCallDelta(0, arguments='":1}'), ToolCallDelta(1, arguments='":2}'))),
        Delta(finish_reason="tool_calls"),
    )
    assert [(c.id, c.name, c.arguments) for c in completion.tool_calls] == [
        ("a", "weather", '{"c":1}'),
        ("b", "food", '{"d":2}'),
    ]
    assert completion.message["tool_calls"][1]["function"]["name"] == "food"
    assert completion.message["content"] is None


def test_a_new_id_begins_a_new_call_where_every_index_is_zero_or_missing() -> None:
    for index in (0, None):
        completion = assembled(
            Delta(tool_calls=(ToolCallDelta(index, "a", "f", "{}"),)),
            Delta(tool_calls=(ToolCallDelta(index, "b", "g", "{"),)),
            Delta(tool_calls=(ToolCallDelta(index, arguments="}"),)),
        )
        assert [(c.name, c.arguments) for c in completion.tool_calls] == [("f", "{}"), ("g", "{}")]


def test_a_call_without_an_id_is_given_one() -> None:
    first = assembled(Delta(tool_calls=(ToolCallDelta(0, None, "f", "{}"),)))
    second = assembled(Delta(tool_calls=(ToolCallDelta(0, None, "f", "{}"),)))
    assert first.tool_calls[0].id == first.message["tool_calls"][0]["id"]
    # Two replies of one conversation must not have calls with the same id.
    assert first.tool_calls[0].id != second.tool_calls[0].id


def test_two_calls_that_were_given_the_same_id_are_two_calls_with_two_ids() -> None:
    completion = assembled(
        Delta(tool_calls=(ToolCallDelta(0, "weather", "weather", '{"city": 1}'),)),
        Delta(tool_calls=(ToolCallDelta(1, "weather", "weather", '{"city": 2}'),)),
    )
    assert [call.arguments for call in completion.tool_calls] == ['{"city": 1}', '{"city": 2}']
    assert len({call.id for call in completion.tool_calls}) == 2


def test_a_call_that_is_sent_again_when_it_is_whole_is_there_once() -> None:
    whole = Delta(tool_calls=(ToolCallDelta(0, "a", "f", '{"x": 1}'),))
    assert [call.arguments for call in assembled(whole, whole).tool_calls] == ['{"x": 1}']


def test_arguments_are_kept_as_they_were_written_whatever_they_are() -> None:
    long = '{"text": "' + "x" * (1 << 20) + '"}'
    for written in ("[1, 2]", '{"half": ', "null", long):
        completion = assembled(
            Delta(tool_calls=(ToolCallDelta(0, "a", "f", written[:5]),)),
            Delta(tool_calls=(ToolCallDelta(0, None, None, written[5:]),)),
        )
        assert completion.tool_calls[0].arguments == written


def test_the_reply_so_far_can_be_read_at_any_moment() -> None:
    assert assembled().text == ""
    assert assembled(Delta("half")).finish_reason is None
