"""What one user may have of characters and work, whichever way it is asked for."""

import contextlib
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from lock_waits import meeting
from owned_things import Person

from xwe.bootstrap import build_services
from xwe.errors import CharacterLimitError, ConflictError, LimitExceededError
from xwe.services.characters.generation import CATEGORY, CHARACTER
from xwe.services.characters.service import Characters, NewCharacter
from xwe.services.limits import Limits, UserLimits
from xwe.services.tasks import Tasks
from xwe.settings import load_settings
from xwe.storage.database import Database
from xwe.storage.repositories import characters, jobs, users
from xwe.streams.notifications import Notifications
from xwe.web import create_app

ONE, GONE, STORY = "李白", "杜甫", "背景故事"
JOBS, CHARACTERS = 2, 3

MORE_CHARACTERS = {
    "create": lambda desk: desk.characters.create(desk.ada, NewCharacter("王维", "text", "诗人。")),
    "copy": lambda desk: desk.characters.copy(desk.ada, ONE),
    "restore": lambda desk: desk.characters.restore(desk.ada, GONE),
}
MORE_JOBS = {
    "create": MORE_CHARACTERS["create"],
    "category": lambda desk: desk.characters.retry_category(desk.ada, ONE, STORY),
    "complete": lambda desk: desk.characters.complete(desk.ada, ONE),
    "retry": lambda desk: desk.tasks.retry(desk.ada, desk.cancelled),
}


def opened(url, limits):
    """Ada at her desk: a character, one that is deleted, a task that was cancelled; no runner."""
    database = Database(url)
    tasks = Tasks(database, Notifications(), wake=lambda: None, limits=limits)
    with database.write() as writing:
        ada = users.create(writing, username="ada", password_hash="-").id
        one = characters.create(writing, user_id=ada, name=ONE)
        gone = characters.create(writing, user_id=ada, name=GONE)
        characters.remove(writing, ada, gone.id)
        payload = {"character_id": one.id, "category": STORY}
        cancelled = jobs.create(writing, kind=CATEGORY, payload=payload, user_id=ada).id
        jobs.request_cancel(writing, ada, cancelled)
    return SimpleNamespace(
        database=database,
        tasks=tasks,
        characters=Characters(database, tasks, limits),
        ada=ada,
        one=one.id,
        cancelled=cancelled,
    )


@pytest.fixture
def desk(either_url):
    desk = opened(either_url, Limits(UserLimits(jobs=JOBS, characters=CHARACTERS)))
    with contextlib.closing(desk.database):
        yield desk


@pytest.fixture
def crowded(postgresql_url):
    """The same, on PostgreSQL, where transactions run side by side."""
    desk = opened(postgresql_url, Limits(UserLimits(jobs=JOBS, characters=CHARACTERS)))
    with contextlib.closing(desk.database):
        yield desk


def fill_with_characters(desk, writing):
    for number in range(CHARACTERS - characters.count(writing, desk.ada)):
        characters.create(writing, user_id=desk.ada, name=str(number))


def fill_with_jobs(desk, writing):
    for _ in range(JOBS):
        jobs.create(writing, kind="other", payload={}, user_id=desk.ada)


def comes_late(desk, url, ask_for_more, fill):
    """What becomes of one who asks while another is taking all the room that is left."""
    meets = meeting(url, desk.database.write(), lambda: ask_for_more(desk))
    with meets as (writing, second, waits):
        users.take_turn(writing, desk.ada)
        waits()
        fill(desk, writing)
    return second


@pytest.mark.parametrize("way", MORE_CHARACTERS)
def test_a_user_has_so_many_characters_and_no_more(desk, way):
    with desk.database.write() as writing:
        fill_with_characters(desk, writing)
    with pytest.raises(CharacterLimitError):
        MORE_CHARACTERS[way](desk)
    assert len(desk.characters.listed(desk.ada)) == CHARACTERS
    desk.characters.remove(desk.ada, "0")
    MORE_CHARACTERS[way](desk)
    assert len(desk.characters.listed(desk.ada)) == CHARACTERS


@pytest.mark.parametrize("way", MORE_JOBS)
def test_a_user_has_so_much_work_unfinished_and_no_more(desk, way):
    with desk.database.write() as writing:
        fill_with_jobs(desk, writing)
    with pytest.raises(LimitExceededError):
        MORE_JOBS[way](desk)
    unfinished = [task for task in desk.tasks.listed(desk.ada) if task["status"] == "pending"]
    assert len(unfinished) == JOBS
    desk.tasks.cancel(desk.ada, unfinished[0]["id"])
    MORE_JOBS[way](desk)


def test_what_is_queued_already_is_not_one_more(desk):
    for _ in range(JOBS + 1):
        desk.characters.retry_category(desk.ada, ONE, STORY)
    assert len([t for t in desk.tasks.listed(desk.ada) if t["status"] == "pending"]) == 1


@pytest.mark.service("postgresql")
@pytest.mark.parametrize("way", MORE_CHARACTERS)
def test_two_that_count_characters_at_once_do_not_both_find_room(crowded, postgresql_url, way):
    late = comes_late(crowded, postgresql_url, MORE_CHARACTERS[way], fill_with_characters)
    with pytest.raises(CharacterLimitError):
        late.result()
    assert len(crowded.characters.listed(crowded.ada)) == CHARACTERS


@pytest.mark.service("postgresql")
@pytest.mark.parametrize("way", MORE_JOBS)
def test_two_that_count_jobs_at_once_do_not_both_find_room(crowded, postgresql_url, way):
    late = comes_late(crowded, postgresql_url, MORE_JOBS[way], fill_with_jobs)
    with pytest.raises(LimitExceededError):
        late.result()


def test_a_category_is_not_tried_again_beside_the_whole_sheet(desk):
    whole = desk.characters.complete(desk.ada, ONE)
    with pytest.raises(ConflictError, match="being written"):
        desk.tasks.retry(desk.ada, desk.cancelled)
    assert desk.tasks.get(desk.ada, desk.cancelled)["status"] == "cancelled"
    desk.tasks.cancel(desk.ada, whole)
    assert desk.tasks.retry(desk.ada, desk.cancelled)["status"] == "pending"


def test_the_whole_of_another_character_is_in_nobodys_way(desk):
    desk.characters.create(desk.ada, NewCharacter("王维", "text", "诗人。"))
    assert desk.tasks.retry(desk.ada, desk.cancelled)["status"] == "pending"


# --- on the wire


def asked(person, method, path, **options):
    reply = person.ask(method, path, **options)
    return reply.status_code, reply.json().get("error", {}).get("code")


def test_the_limit_of_characters_is_told_to_who_reaches_it(serve):
    server = serve(XWE_USER_CHARACTERS="1")
    ada = Person(server.url, None, "ada")
    new = {"role": ONE, "text": "诗人。"}
    refused = (409, "character_limit")
    with contextlib.closing(ada):
        assert asked(ada, "POST", "/api/characters", json=new) == (202, None)
        assert asked(ada, "POST", "/api/characters", json=new | {"role": GONE}) == refused
        assert asked(ada, "POST", f"/api/characters/{quote(ONE)}/copy") == refused
        assert asked(ada, "DELETE", f"/api/characters/{quote(ONE)}") == (200, None)
        assert asked(ada, "POST", "/api/characters", json=new | {"role": GONE}) == (202, None)
        reply = ada.ask("POST", f"/api/characters/{quote(ONE)}/restore")
        assert (reply.status_code, reply.json()["error"]["retryable"]) == (409, False)
        assert "Retry-After" not in reply.headers


def test_a_task_tried_again_counts_as_a_question(serve):
    server = serve(XWE_USER_RPM="2")
    ada = Person(server.url, None, "ada")
    with contextlib.closing(ada):
        for _ in range(2):
            assert asked(ada, "POST", "/api/tasks/1/retry") == (404, "not_found")
        assert asked(ada, "POST", "/api/tasks/1/retry") == (429, "limit_exceeded")
        assert asked(ada, "POST", "/api/tasks/1/cancel") == (404, "not_found")


def test_no_task_is_tried_again_by_a_server_that_is_about_to_end(sqlite_url):
    provider = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": "http://127.0.0.1:9/v1"}
    settings = load_settings(provider | {"XWE_DATABASE_URL": sqlite_url})
    services = build_services(settings)
    with contextlib.closing(services):
        app = create_app(settings, services)
        client = app.test_client()
        own_page = {"headers": {"Sec-Fetch-Site": "same-origin"}}
        who = {"username": "ada", "password": "a good password"}
        user = client.post("/auth/register", json=who, **own_page).json["user"]
        with services.database.write() as writing:
            job = jobs.create(writing, kind=CHARACTER, payload={}, user_id=user["id"]).id
            jobs.request_cancel(writing, user["id"], job)
        app.begin_drain()
        refused = client.post(f"/api/tasks/{job}/retry", **own_page)
        assert (refused.status_code, refused.json["error"]["code"]) == (503, "draining")
        assert services.tasks.get(user["id"], job)["status"] == "cancelled"


def test_a_sheet_shows_the_job_that_writes_it_and_a_deletion_cancels_every_one(desk):
    def shown():
        sheet = desk.characters.sheet(desk.ada, ONE)
        return sheet.task_id, sheet.is_unfinished

    assert shown() == (None, False)
    category = desk.characters.retry_category(desk.ada, ONE, STORY)
    assert shown() == (category, True)
    whole = desk.characters.complete(desk.ada, ONE)
    assert shown() == (whole, True)
    desk.characters.remove(desk.ada, ONE)
    states = [desk.tasks.get(desk.ada, task)["status"] for task in (category, whole)]
    assert states == ["cancelled", "cancelled"]
    desk.characters.restore(desk.ada, ONE)
    assert shown() == (whole, False)


def test_an_old_sheet_keeps_its_task_however_many_were_made_after_it(either_url):
    desk = opened(either_url, Limits(UserLimits(jobs=1000, characters=1000)))
    with contextlib.closing(desk.database):
        made = desk.characters.create(desk.ada, NewCharacter("old", "text", "Born long ago."))
        neighbours = [f"{CHARACTER}:{number}" for number in range(1000, 1150)]
        with desk.database.write() as writing:
            for key in neighbours:
                jobs.create(writing, kind=CHARACTER, payload={}, user_id=desk.ada, dedupe_key=key)
        assert desk.characters.sheet(desk.ada, "old").task_id == made.task_id
        desk.tasks.cancel(desk.ada, made.task_id)
        assert desk.characters.sheet(desk.ada, "old").task_id == made.task_id
