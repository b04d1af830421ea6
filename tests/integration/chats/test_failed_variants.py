"""An answer made anew that comes to nothing: what was there before is shown, and remembered."""

from datetime import timedelta

import pytest
from chat_sides import ROLE, SOON_S, read_all

from xwe.mock import Behaviour
from xwe.services.chats.answer_leases import reap
from xwe.storage.repositories import conversations, generations, messages
from xwe.storage.repositories.characters import get as character_named
from xwe.storage.rows import now

FAILURE = Behaviour(fault="status", status=401)


def shown(side, user_id):
    return [one.message.content for one in side.chats.messages(user_id, ROLE).messages]


@pytest.fixture
def ada(side, mock_server):
    """Somebody who was answered "one", and then "two"."""
    ada = side.user()
    mock_server.script(Behaviour(text="one"), Behaviour(text="two"))
    first = side.chats.reply(ada, ROLE, "hi").message_id
    read_all(side.chats.regenerate(ada, ROLE, first))
    return ada


def variants(side, user_id):
    return side.chats.messages(user_id, ROLE).messages[1].variants


@pytest.mark.parametrize("number", [0, 1])
def test_the_answer_that_was_shown_before_is_shown_again(side, ada, mock_server, number):
    chosen = variants(side, ada)[number]
    side.chats.select_variant(ada, ROLE, chosen)
    mock_server.script(FAILURE, Behaviour(text="bye"))
    read_all(side.chats.regenerate(ada, ROLE, chosen))
    assert shown(side, ada) == ["hi", ["one", "two"][number]]
    assert len(variants(side, ada)) == 3
    side.chats.reply(ada, ROLE, "and then?")
    said = [message["content"] for message in mock_server.requests[-1].body["messages"][1:]]
    assert said == ["hi", ["one", "two"][number], "and then?"]


def test_what_was_chosen_while_it_was_made_stays(side, ada, mock_server):
    first, second = variants(side, ada)
    mock_server.script(Behaviour(fault="no_headers"))
    stream = side.chats.regenerate(ada, ROLE, second)
    mock_server.wait_until(lambda: len(mock_server.requests) == 3, SOON_S)
    side.chats.select_variant(ada, ROLE, first)
    side.chats.stop(ada, stream.answer_id)
    assert shown(side, ada) == ["hi", "one"]


def test_one_that_was_stopped_before_its_first_word_gives_way(side, ada, mock_server):
    mock_server.script(Behaviour(fault="no_headers"))
    stream = side.chats.regenerate(ada, ROLE, variants(side, ada)[1])
    mock_server.wait_until(lambda: len(mock_server.requests) == 3, SOON_S)
    side.chats.stop(ada, stream.answer_id)
    assert shown(side, ada) == ["hi", "two"]


def test_one_whose_process_died_before_its_first_word_gives_way(side, ada):
    with side.database.write() as writing:
        chat = conversations.with_character(writing, ada, character_named(writing, ada, ROLE).id)
        generations.begin(
            writing,
            "of-the-dead",
            conversation_id=chat.id,
            owner="dead",
            lease_until=now() - timedelta(seconds=1),
        )
        messages.append(
            writing,
            chat.id,
            sender_type="character",
            content="",
            status="streaming",
            generation_id="of-the-dead",
            variant_of=messages.page(writing, chat.id).messages[-1].id,
        )
    reap(side.database)  # the side's own may have been sooner
    assert shown(side, ada) == ["hi", "two"]


def test_a_first_answer_that_fails_is_shown_as_that(side, mock_server):
    ada = side.user()
    mock_server.script(FAILURE)
    read_all(side.chats.say(ada, ROLE, "hi"))
    assert [one.message.status for one in side.chats.messages(ada, ROLE).messages] == [
        "complete",
        "failed",
    ]
