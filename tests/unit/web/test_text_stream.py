"""A streamed answer's bytes, and its ends."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.core.nlp.completion import Delta
from xwe.errors import ProviderAuthError, StreamInterruptedError
from xwe.web.departure import ReaderLeftError
from xwe.web.text_stream import TextStream


class Scripted(Iterator[Delta]):
    """Deltas, then perhaps an error; remembers being closed."""

    def __init__(self, *texts: str, error: BaseException | None = None) -> None:
        self._texts = iter(texts)
        self._error = error
        self.closed = False

    def __next__(self) -> Delta:
        for text in self._texts:
            return Delta(text)
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        self.closed = True


def test_each_piece_is_a_chunk_of_utf_8() -> None:
    assert list(TextStream(Scripted("你", "好 ", "bridge"))) == [
        "你".encode(),
        "好 ".encode(),
        b"bridge",
    ]


def test_pieces_without_text_make_no_chunk() -> None:
    """An empty chunk would end the body."""
    assert list(TextStream(Scripted("", "a", "", "", "b", ""))) == [b"a", b"b"]


def test_an_emoji_that_came_in_two_halves_goes_out_whole() -> None:
    assert list(TextStream(Scripted("a\ud83d", "\ude00b"))) == [b"a", "\U0001f600b".encode()]


def test_half_a_character_that_nothing_follows_is_marked_as_missing() -> None:
    assert b"".join(TextStream(Scripted("a\ud83d"))).decode().startswith("a")
    assert b"".join(TextStream(Scripted("\ude00b"))).decode() == "\ufffdb"


@given(st.text(), st.lists(st.integers(0, 60)))
def test_any_text_in_any_pieces_arrives_whole(text: str, cuts: list[int]) -> None:
    """Also where the pieces cut 16-bit characters in two, as JSON escapes can."""
    units = text.encode("utf-16-le")
    places = sorted({0, len(units), *(2 * cut for cut in cuts if 2 * cut < len(units))})
    pieces = [
        units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(places)
    ]
    chunks = list(TextStream(Scripted(*pieces)))
    assert b"".join(chunks).decode() == text
    for chunk in chunks:
        chunk.decode()  # whole characters in each


def test_the_first_chunk_is_fetched_ahead_and_not_lost() -> None:
    stream = TextStream(Scripted("a", "b"))
    stream.fetch_first()
    assert list(stream) == [b"a", b"b"]


def test_an_error_before_the_first_chunk_is_raised_as_it_is() -> None:
    deltas = Scripted(error=ProviderAuthError())
    with pytest.raises(ProviderAuthError):
        TextStream(deltas).fetch_first()
    assert deltas.closed


@pytest.mark.parametrize(
    "error", [StreamInterruptedError(), asyncio.CancelledError(), ValueError("bug")], ids=repr
)
def test_an_error_after_it_cuts_the_connection(error: BaseException) -> None:
    """The exception is one that a server takes for a lost connection: no proper end is written."""
    stream = TextStream(Scripted("a", error=error))
    assert next(stream) == b"a"
    with pytest.raises(ConnectionResetError) as cut:
        next(stream)
    assert cut.value.errno is not None


def test_only_what_nobody_foresaw_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The client has already told the log of a model's failure."""
    for error in (StreamInterruptedError(), ReaderLeftError()):
        with pytest.raises(ConnectionResetError):
            next(TextStream(Scripted(error=error)))
    assert not caplog.records
    with pytest.raises(ConnectionResetError):
        next(TextStream(Scripted(error=ValueError("bug"))))
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_closing_reaches_the_upstream_even_before_the_first_chunk() -> None:
    deltas = Scripted("a")
    TextStream(deltas).close()
    assert deltas.closed
