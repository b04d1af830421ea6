"""Messages."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from xwe.errors import ConflictError, NotFoundError
from xwe.storage.repositories import conversations, generations, messages


def say(writing, chat, content, **values):
    return messages.append(writing, chat.id, **{"sender_type": "user", "content": content} | values)


@pytest.fixture
def ten(database, chat):
    with database.write() as writing:
        return [say(writing, chat, f"number {number}") for number in range(1, 11)]


@pytest.fixture
def generation(database, chat, later):
    with database.write() as writing:
        return generations.begin(
            writing, "g1", conversation_id=chat.id, owner="me", lease_until=later(60)
        )


@pytest.fixture
def coming(database, chat, generation):
    """An answer that is still coming."""
    with database.write() as writing:
        return say(
            writing,
            chat,
            "",
            sender_type="character",
            sender_id=chat.character_id,
            status="streaming",
            generation_id=generation.id,
        )


def texts(found):
    return [message.content for message in found]


def test_what_was_said_is_read_as_it_was_written(database, ada, chat):
    with database.write() as writing:
        said = say(
            writing, chat, "床前明月光 🌙", sender_id=ada.id, client_id="c1", usage={"in": 3}
        )
    with database.read() as reading:
        assert messages.get(reading, chat.id, said.id) == said
        assert messages.page(reading, chat.id).messages == [said]


def test_what_no_database_takes_is_replaced(database, chat):
    with database.write() as writing:
        said = say(writing, chat, "a\0b\ud83dc 🌙")
        assert messages.get(writing, chat.id, said.id).content == "a\ufffdb\ufffdc 🌙"


def test_a_page_holds_the_newest_messages_in_ascending_order(database, chat, ten):
    with database.read() as reading:
        newest = messages.page(reading, chat.id, limit=4)
        older = messages.page(reading, chat.id, before_seq=newest.messages[0].place, limit=4)
        oldest = messages.page(reading, chat.id, before_seq=older.messages[0].place, limit=4)
    assert [newest.messages, older.messages, oldest.messages] == [ten[6:], ten[2:6], ten[:2]]
    assert [newest.has_more, older.has_more, oldest.has_more] == [True, True, False]


def test_places_beyond_all_that_there_can_be(database, chat, ten):
    with database.read() as reading:
        assert messages.page(reading, chat.id, before_seq=2**53).messages == ten
        assert messages.after_seq(reading, chat.id, 2**53) == []


def test_a_page_that_just_fits_has_no_more(database, chat, ten):
    with database.read() as reading:
        assert messages.page(reading, chat.id, limit=10).has_more is False
        assert len(messages.page(reading, chat.id, limit=100).messages) == 10


def test_memory_gets_what_came_after_its_watermark(database, chat, ten):
    with database.read() as reading:
        assert messages.after_seq(reading, chat.id, ten[6].place) == ten[7:]


def test_numbers_have_no_gaps_when_many_write_at_once(database, chat):
    def write(number):
        with database.write() as writing:
            return say(writing, chat, str(number)).seq

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(40))) == list(range(1, 41))


def test_a_message_moves_its_conversation_to_the_top(database, ada, chat):
    with database.write() as writing:
        say(writing, chat, "hello")
        assert (
            conversations.with_character(writing, ada.id, chat.character_id).updated_at
            > chat.updated_at
        )


def test_a_clients_message_is_added_once(database, chat):
    with database.write() as writing:
        said = say(writing, chat, "hello", client_id="c1")
    with database.write() as writing:
        with pytest.raises(ConflictError):
            say(writing, chat, "hello", client_id="c1")
        assert messages.by_client_id(writing, chat.id, "c1") == said


def test_there_is_no_message_without_a_conversation(database):
    with database.write() as writing, pytest.raises(NotFoundError):
        messages.append(writing, 7, sender_type="user", content="hello")


def test_snapshots_keep_what_has_come_so_far(database, chat, coming, generation):
    with database.write() as writing:
        messages.set_texts(writing, {coming.id: "床前"})
    with database.read() as reading:
        (found,) = messages.by_generation(reading, generation.id)
    assert (found.content, found.status) == ("床前", "streaming")


def test_a_finished_message_stays_as_it_is(database, chat, coming):
    with database.write() as writing:
        assert messages.finish(
            writing, coming.id, status="complete", content="whole", usage={"out": 2}
        )
        messages.set_texts(writing, {coming.id: "late snapshot"})
        assert not messages.finish(writing, coming.id, status="failed", content="")
        found = messages.get(writing, chat.id, coming.id)
    assert (found.content, found.status, found.usage) == ("whole", "complete", {"out": 2})


def test_many_answers_are_kept_and_abandoned_in_one_go(database, chat, coming, generation):
    """As the snapshots of a whole process, and the reaper after its death, do it."""
    with database.write() as writing:
        other = say(
            writing, chat, "", sender_type="character", status="streaming", generation_id="g1"
        )
        messages.set_texts(writing, {coming.id: "one", other.id: "two"})
        assert messages.abandon(writing, [generation.id, "unknown"], error_code="worker_lost") == 2
    with database.read() as reading:
        ended = [messages.get(reading, chat.id, one.id) for one in (coming, other)]
    assert [(one.content, one.status) for one in ended] == [("one", "partial"), ("two", "partial")]


def test_an_abandoned_answer_keeps_its_text(database, chat, coming, generation):
    with database.write() as writing:
        messages.set_texts(writing, {coming.id: "床前"})
        assert messages.abandon(writing, [generation.id], error_code="worker_lost") == 1
        assert messages.abandon(writing, [generation.id], error_code="worker_lost") == 0
        found = messages.get(writing, chat.id, coming.id)
    assert (found.content, found.status, found.error_code) == ("床前", "partial", "worker_lost")


@pytest.fixture
def regenerated(database, chat, ten):
    """The third message's second variant."""
    with database.write() as writing:
        return say(writing, chat, "another", variant_of=ten[2].id)


def test_a_variant_is_shown_where_the_message_was(database, chat, ten, regenerated):
    with database.read() as reading:
        shown = messages.page(reading, chat.id).messages
    assert texts(shown)[1:4] == ["number 2", "another", "number 4"]
    assert len(shown) == 10
    assert regenerated.seq == 11


def test_a_variant_of_a_variant_is_one_of_the_first(database, chat, ten, regenerated):
    with database.write() as writing:
        say(writing, chat, "third", variant_of=regenerated.id)
        found = messages.variants(writing, chat.id, ten[2].id)
    assert texts(found) == ["number 3", "another", "third"]
    assert [message.selected for message in found] == [False, False, True]
    assert {message.variant_of for message in found[1:]} == {ten[2].id}


def test_an_earlier_variant_can_be_shown_again(database, chat, ten, regenerated):
    with database.write() as writing:
        assert messages.select_variant(writing, chat.id, ten[2].id).selected
    with database.read() as reading:
        assert messages.page(reading, chat.id).messages == ten


def test_variants_belong_to_their_conversation(database, chat, ten):
    with database.write() as writing:
        assert messages.variants(writing, chat.id + 1, ten[0].id) == []
        with pytest.raises(NotFoundError):
            messages.select_variant(writing, chat.id + 1, ten[0].id)
        with pytest.raises(NotFoundError):
            say(writing, chat, "x", variant_of=ten[-1].id + 1)
