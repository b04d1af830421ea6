"""What a user writes on a sheet stays, whatever is being written there at the time."""

import contextlib
import threading

import pytest
from character_workshop import Workshop, about, fails_for
from lock_waits import meeting

from xwe.errors import StaleVersionError
from xwe.mock import Behaviour
from xwe.mock.rules import Rule
from xwe.services.characters.categories import PROFILE_CATEGORIES
from xwe.services.characters.facts import DIRECT_CHARS
from xwe.storage.repositories import characters

ROLE = "孙悟空"
BASICS, STORY, BIOGRAPHY = "基础身份信息", "背景故事", "人物简介"
NAMES = [category.name for category in PROFILE_CATEGORIES["zh"]]
MINE = {"出身": "我写的", "经历": [], "当前处境": "", "关系网络": [], "秘密": ""}
MY_BIOGRAPHY, MY_WORDS = "我亲手写的简介", "我亲手写的开场白"
OTHERS = "又一段简介"
# What the model writes may be the same at each time; a user's old words tell it from the new ones.
OLD = MINE | {"出身": "从前写的"}


def write_by_hand(workshop, changes=None, first_message=None):
    """Save as somebody who reads the sheet again whenever it was changed meanwhile."""
    while True:
        try:
            workshop.characters.save(
                workshop.ada,
                ROLE,
                changes or {},
                version=workshop.sheet().version,
                first_message=first_message,
            )
        except StaleVersionError:
            continue
        return


def biography(workshop, text):
    """The first category, with that biography."""
    return {BASICS: {**workshop.sheet().profile[BASICS], BIOGRAPHY: text}}


def asks_for_biography(body):
    return about("写两段文字")(body)


class WhileAsked:
    """A rule's condition: does `act` once, when a question comes and before it is answered."""

    def __init__(self, is_about, act):
        self._is_about = is_about
        self._act = act
        self._first = threading.Lock()

    def __call__(self, body):
        if self._is_about(body) and self._first.acquire(blocking=False):
            self._act()
        return False  # the answer is the usual one


def told_while_asked(model, is_about, act):
    model.follow(Rule(WhileAsked(is_about, act), Behaviour()))


@pytest.fixture
def made(workshop, model):
    """A character with its whole sheet, about which the model has not been asked yet."""
    workshop.ended(workshop.make())
    model.forget_requests()
    return workshop


def test_completing_leaves_what_was_written_by_hand_meanwhile(workshop, model):
    model.follow(fails_for(f"“{STORY}”"))
    workshop.ended(workshop.make())
    write_by_hand(workshop, biography(workshop, MY_BIOGRAPHY), MY_WORDS)
    model.follow()
    model.forget_requests()
    task = workshop.ended(workshop.characters.complete(workshop.ada, ROLE))
    assert (task["status"], task["result"]["failed"]) == ("done", [])
    assert workshop.sheet().profile[STORY]["出身"]
    assert workshop.sheet().profile[BASICS][BIOGRAPHY] == MY_BIOGRAPHY
    assert workshop.sheet().first_message == MY_WORDS
    assert len(model.requests) == 1


def test_completing_a_whole_sheet_asks_nothing_and_changes_nothing(made, model):
    before = made.sheet()
    task = made.ended(made.characters.complete(made.ada, ROLE))
    assert (task["status"], task["progress"]) == ("done", 100)
    assert task["result"] == {"role": ROLE, "failed": []}
    assert made.sheet() == before
    assert model.requests == []


def test_completing_a_whole_sheet_reads_no_long_source_either(made, model):
    character_id, text = made.sheet().id, "他学会了一种新的变化。\n" * DIRECT_CHARS
    with made.database.write() as writing:
        characters.set_source(writing, character_id, {"kind": "text"}, text)
    made.ended(made.characters.complete(made.ada, ROLE))
    assert model.requests == []


@pytest.mark.parametrize("missing", ["biography", "first message"])
def test_completing_writes_the_one_of_the_two_texts_that_is_not_there(made, model, missing):
    if missing == "biography":
        write_by_hand(made, biography(made, ""), MY_WORDS)
    else:
        write_by_hand(made, biography(made, MY_BIOGRAPHY), " ")
    made.ended(made.characters.complete(made.ada, ROLE))
    texts = made.sheet().profile[BASICS][BIOGRAPHY], made.sheet().first_message
    assert all(text.strip() for text in texts)
    assert {MY_BIOGRAPHY, MY_WORDS} & {*texts}
    assert len(model.requests) == 1


def test_a_biography_that_cannot_be_completed_fails_the_task(made, model):
    write_by_hand(made, biography(made, ""))
    model.follow(fails_for("写两段文字"))
    task = made.ended(made.characters.complete(made.ada, ROLE))
    assert (task["status"], task["detail"][BIOGRAPHY]["state"]) == ("error", "error")


def test_a_biography_written_again_leaves_the_first_message(made, model):
    write_by_hand(made, biography(made, MY_BIOGRAPHY), MY_WORDS)
    made.ended(made.characters.retry_category(made.ada, ROLE, BIOGRAPHY))
    assert made.sheet().profile[BASICS][BIOGRAPHY] not in ("", MY_BIOGRAPHY)
    assert made.sheet().first_message == MY_WORDS
    assert len(model.requests) == 1


def test_a_category_that_the_user_writes_while_the_whole_is_written_stays(workshop, model):
    told_while_asked(
        model, about(f"“{STORY}”"), lambda: write_by_hand(workshop, {STORY: MINE}, MY_WORDS)
    )
    task = workshop.ended(workshop.make())
    assert (task["status"], task["result"]["failed"]) == ("done", [])
    assert sorted(workshop.sheet().profile) == sorted(NAMES)
    assert workshop.sheet().profile[STORY] == MINE
    assert workshop.sheet().first_message == MY_WORDS
    assert workshop.sheet().profile[BASICS][BIOGRAPHY]


def test_texts_that_the_user_has_written_by_then_are_not_asked_for(made, model):
    sheet = made.sheet()
    kept = {name: sheet.profile[name] for name in NAMES if name != STORY}
    kept |= biography(made, "")
    with made.database.write() as writing:
        characters.save_profile(writing, sheet.id, kept, expected_version=sheet.version)
    told_while_asked(
        model,
        about(f"“{STORY}”"),
        lambda: write_by_hand(made, biography(made, MY_BIOGRAPHY), MY_WORDS),
    )
    made.ended(made.characters.complete(made.ada, ROLE))
    assert made.sheet().profile[STORY]["出身"]
    assert len(model.requests) == 1


def test_both_texts_that_the_user_writes_while_the_model_does_stay(workshop, model):
    told_while_asked(
        model,
        asks_for_biography,
        lambda: write_by_hand(workshop, biography(workshop, MY_BIOGRAPHY), MY_WORDS),
    )
    workshop.ended(workshop.make())
    assert workshop.sheet().profile[BASICS][BIOGRAPHY] == MY_BIOGRAPHY
    assert workshop.sheet().first_message == MY_WORDS


def test_a_category_written_again_replaces_what_it_was_when_that_was_asked(made):
    write_by_hand(made, {STORY: OLD})
    task = made.ended(made.characters.retry_category(made.ada, ROLE, STORY))
    assert task["status"] == "done"
    assert made.sheet().profile[STORY]["出身"] not in ("", OLD["出身"])


def test_a_category_that_the_user_changes_while_it_is_written_again_stays(made, model):
    write_by_hand(made, {STORY: OLD})
    told_while_asked(model, about(f"“{STORY}”"), lambda: write_by_hand(made, {STORY: MINE}))
    task = made.ended(made.characters.retry_category(made.ada, ROLE, STORY))
    assert task["status"] == "done"
    assert made.sheet().profile[STORY] == MINE


def test_a_biography_that_the_user_changes_while_it_is_written_again_stays(made, model):
    write_by_hand(made, biography(made, OTHERS))
    told_while_asked(
        model, asks_for_biography, lambda: write_by_hand(made, biography(made, MY_BIOGRAPHY))
    )
    made.ended(made.characters.retry_category(made.ada, ROLE, BIOGRAPHY))
    assert made.sheet().profile[BASICS][BIOGRAPHY] == MY_BIOGRAPHY


def test_a_category_that_the_user_changes_before_its_turn_has_come_stays_unasked(made, model):
    made.runner.close()
    asked = made.characters.retry_category(made.ada, ROLE, STORY)
    write_by_hand(made, {STORY: MINE})
    made.another_runner()
    assert made.ended(asked)["status"] == "done"
    assert made.sheet().profile[STORY] == MINE
    assert model.requests == []


def test_an_attempt_after_a_failure_keeps_what_the_user_wrote_between(made, model):
    broken = Behaviour(fault="status", status=500)
    told = WhileAsked(about(f"“{STORY}”"), lambda: write_by_hand(made, {STORY: MINE}))
    model.follow(Rule(told, Behaviour()), Rule(about(f"“{STORY}”"), broken))
    task = made.ended(made.characters.retry_category(made.ada, ROLE, STORY))
    assert (task["status"], task["attempts"]) == ("done", 2)
    assert made.sheet().profile[STORY] == MINE


@pytest.mark.service("postgresql")
def test_what_the_user_is_saving_at_the_very_moment_stays(postgresql_url, model):
    with contextlib.closing(Workshop(postgresql_url, model)) as workshop:
        workshop.ended(workshop.make())
        write_by_hand(workshop, {STORY: OLD})
        sheet = workshop.sheet()

        def write_again():
            return workshop.ended(workshop.characters.retry_category(workshop.ada, ROLE, STORY))

        meets = meeting(postgresql_url, workshop.database.write(), write_again)
        with meets as (writing, second, waits):
            profile = sheet.profile | {STORY: MINE}
            characters.save_profile(writing, sheet.id, profile, expected_version=sheet.version)
            waits()
        assert second.result()["status"] == "done"
        assert workshop.sheet().profile[STORY] == MINE


def test_only_what_is_there_is_told_as_done(workshop, model):
    model.follow(fails_for(f"“{STORY}”"), fails_for("“知识与能力”"))
    workshop.ended(workshop.make())
    model.follow()
    task = workshop.ended(workshop.characters.retry_category(workshop.ada, ROLE, STORY))
    assert task["categories"] == dict.fromkeys({*NAMES} - {"知识与能力"}, "done")
