"""What a page of a chat shows: variants, paging, the first message."""

import pytest
from chat_sides import ROLE, read_all, text_of

from xwe.mock import Behaviour
from xwe.storage.repositories import characters, conversations, messages
from xwe.web.bodies.chats import page_query


@pytest.fixture
def database_url(either_url):
    return either_url


def shown(side, user_id, **asked):
    return [one.message.content for one in side.chats.messages(user_id, ROLE, **asked).messages]


def test_regenerating_adds_a_variant_that_is_shown_and_the_old_one_can_be_chosen(side, mock_server):
    ada = side.user()
    mock_server.script(Behaviour(text="one"), Behaviour(text="two"), Behaviour(text="three"))
    first = side.chats.reply(ada, ROLE, "hi").message_id
    assert text_of(read_all(side.chats.regenerate(ada, ROLE, first))) == "two"
    assert text_of(read_all(side.chats.regenerate(ada, ROLE, first))) == "three"
    assert shown(side, ada) == ["hi", "three"]
    variants = side.chats.messages(ada, ROLE).messages[1].variants
    assert variants[0] == first
    assert len(variants) == 3
    chosen = side.chats.select_variant(ada, ROLE, variants[1])
    assert (chosen.message.content, chosen.variants) == ("two", variants)
    assert shown(side, ada) == ["hi", "two"]
    assert side.chats.messages(ada, ROLE).messages[0].variants == ()


def test_a_variant_is_asked_for_with_what_came_before_it_alone(side, mock_server):
    ada = side.user()
    first = side.chats.reply(ada, ROLE, "one").message_id
    side.chats.reply(ada, ROLE, "two")
    read_all(side.chats.regenerate(ada, ROLE, first))
    said = [message["content"] for message in mock_server.requests[-1].body["messages"][1:]]
    assert said == ["one"]


def test_the_first_message_is_shown_before_anything_is_stored_and_stored_with_the_first_turn(side):
    ada = side.user(first_message="何方妖怪？")
    assert shown(side, ada) == ["何方妖怪？"]
    assert side.rows(ada) == []
    side.chats.reply(ada, ROLE, "hi")
    assert shown(side, ada)[:2] == ["何方妖怪？", "hi"]


def test_a_thousand_messages_are_paged_without_a_gap_or_a_double(side):
    ada = side.user()
    with side.database.write() as writing:
        character = characters.get(writing, ada, ROLE)
        chat = conversations.for_character(writing, ada, character.id)
        for number in range(1000):
            messages.append(writing, chat.id, sender_type="user", content=str(number))
    pages, before = [], None
    while True:
        page = side.chats.messages(ada, ROLE, before, 50)
        pages.insert(0, [one.message.content for one in page.messages])
        before = page.messages[0].message.place
        if not page.has_more:
            break
    assert len(pages) == 20
    assert sum(pages, []) == [str(number) for number in range(1000)]  # noqa: RUF017 - short
    newest = side.chats.messages(ada, ROLE, after_seq=990)
    assert [one.message.content for one in newest.messages] == [str(n) for n in range(990, 1000)]
    assert not newest.has_more


def test_a_place_beyond_all_places_is_no_error(side):
    ada = side.user()
    side.chats.reply(ada, ROLE, "hi")
    for asked in ({"before_seq": "3000000000"}, {"after_seq": "9" * 16}):
        query = page_query(asked)
        page = side.chats.messages(ada, ROLE, query.before_seq, after_seq=query.after_seq)
        assert len(page.messages) == (2 if query.after_seq is None else 0)


def test_the_prompt_has_the_newest_messages_that_fit(new_side, mock_server):
    from xwe.services.chats.values import PromptLimits  # noqa: PLC0415 - for this one alone

    side = new_side(limits=PromptLimits(history_tokens=60))
    ada = side.user()
    with side.database.write() as writing:
        character = characters.get(writing, ada, ROLE)
        chat = conversations.for_character(writing, ada, character.id)
        for number in range(100):
            sender = "character" if number % 2 else "user"
            messages.append(writing, chat.id, sender_type=sender, content=f"第{number:03d}句话")
    side.chats.reply(ada, ROLE, "最新")
    said = [message["content"] for message in mock_server.requests[-1].body["messages"][1:]]
    assert said[-1] == "最新"
    assert said[-2] == "第099句话"
    assert 2 < len(said) < 12
