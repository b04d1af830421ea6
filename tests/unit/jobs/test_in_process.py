"""The runner, its leases and its ends, under a clock that the test moves."""

import asyncio
import logging
import threading

import pytest

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import (
    DrainingError,
    JobCancelledError,
    JobLostError,
    ProviderAuthError,
    ProviderRateLimitedError,
)

SOON_S = 60.0
LEASE_S = 30.0


def test_a_handler_gets_its_job_and_its_result_is_kept(store, handlers, run_due):
    handlers.register("build", lambda work: [work.payload["name"], work.key, work.attempt])
    job = store.queue(payload={"name": "李白"}, user_id=7)
    run_due()
    assert (store.rows[job].state, store.rows[job].result) == ("done", ["李白", f"job-{job}", 1])


def test_a_coroutine_runs_on_the_resident_loop(store, handlers, run_due):
    async def build(work):
        await work.progress_async(50, "half", {"one": "done"})
        return get_loop_thread().is_current()

    handlers.register("build", build)
    job = store.queue()
    run_due()
    row = store.rows[job]
    assert (row.result, row.progress, row.message, row.detail) == (
        True,
        50,
        "half",
        {"one": "done"},
    )


def test_a_retry_sees_what_the_attempt_before_has_noted(store, handlers, clock, run_due):
    def build(work):
        if work.attempt == 1:
            work.progress(10, "", {"one": "done"})
            raise RuntimeError
        return dict(work.detail)

    handlers.register("build", build)
    job = store.queue()
    run_due()
    clock.pass_by(60)
    run_due()
    assert store.rows[job].result == {"one": "done"}


def test_progress_stays_between_0_and_100(store, handlers, run_due):
    seen = []

    def build(work):
        for percent in (-5, 33.4, 250):
            work.progress(percent)
            seen.append(store.rows[work.taken.id].progress)

    handlers.register("build", build)
    store.queue()
    run_due()
    assert seen == [0, 33, 100]


# --- failures ---


def test_a_failed_job_waits_longer_each_time_and_the_third_failure_parks_it(
    store, handlers, clock, run_due
):
    calls = []

    def build(work):
        calls.append(work.attempt)
        raise ProviderRateLimitedError("too many, please wait")

    handlers.register("build", build)
    job = store.queue()
    waits = []
    for _ in range(2):
        run_due()
        waits.append((store.rows[job].due - clock()).total_seconds())
        run_due()  # not before it is due
        clock.pass_by(waits[-1])
    run_due()
    clock.pass_by(3600)
    run_due()
    assert calls == [1, 2, 3]
    assert waits[1] > waits[0] > 0
    assert (store.rows[job].state, store.rows[job].error) == ("dead", "too many, please wait")


def test_who_limits_us_says_when_to_come_back(store, handlers, clock, run_due):
    def build(work):
        raise ProviderRateLimitedError(retry_after_s=45)

    handlers.register("build", build)
    job = store.queue()
    run_due()
    assert (store.rows[job].due - clock()).total_seconds() == 45


def test_what_is_known_to_fail_again_is_not_tried_again(store, handlers, run_due):
    def build(work):
        raise ProviderAuthError

    handlers.register("build", build)
    job = store.queue()
    run_due()
    assert (store.rows[job].state, store.rows[job].attempts) == ("dead", 1)


@pytest.mark.parametrize("fault", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_the_user_is_not_told_what_went_wrong_on_this_side(store, handlers, run_due, caplog, fault):
    def build(work):
        raise fault("the canary's name")

    handlers.register("build", build)
    job = store.queue()
    run_due()
    assert str(job) in store.rows[job].error
    assert "canary" not in store.rows[job].error
    assert "canary" in caplog.text


def test_a_coroutine_that_is_cancelled_from_within_has_failed(store, handlers, run_due):
    async def build(work):
        raise asyncio.CancelledError

    handlers.register("build", build)
    job = store.queue()
    run_due()
    assert (store.rows[job].state, store.rows[job].attempts) == ("queued", 1)


# --- leases ---


def test_a_job_that_runs_keeps_its_lease(store, make_runner, clock, steps, end_of):
    job = store.queue()
    runner, other = make_runner(), make_runner()
    runner.take_due()
    steps.wait_until_begun()
    for _ in range(10):
        clock.pass_by(LEASE_S / 3 + 1)
        runner.look_after()
    other.take_due()
    assert other.running == 0
    steps.may_end.set()
    end_of(runner)
    assert (store.rows[job].state, store.rows[job].attempts) == ("done", 1)


def test_when_a_lease_has_run_out_another_runner_follows_and_the_first_one_changes_nothing(
    store, make_runner, clock, steps, end_of
):
    job = store.queue()
    first, second = make_runner(), make_runner()
    first.take_due()
    works = [steps.wait_until_begun()]
    clock.pass_by(LEASE_S - 1)
    second.take_due()
    assert second.running == 0  # too early
    clock.pass_by(2)
    second.take_due()
    works.append(steps.wait_until_begun())
    assert [work.attempt for work in works] == [1, 2]
    assert works[0].key == works[1].key
    first.look_after()
    with pytest.raises(JobLostError):
        works[0].check()
    works[1].progress(40)
    with pytest.raises(JobLostError):
        works[0].progress(99)
    steps.may_end.set()
    end_of(first)
    end_of(second)
    assert (store.rows[job].state, store.rows[job].attempts, store.rows[job].progress) == (
        "done",
        2,
        40,
    )


def test_a_runner_notices_at_its_next_word_that_the_job_is_lost(
    store, make_runner, clock, handlers, end_of
):
    lost = threading.Event()
    go_on = threading.Event()

    def build(work):
        if work.attempt == 1:
            assert go_on.wait(SOON_S)
            try:
                work.progress(50)
            except JobLostError:
                lost.set()
                raise

    handlers.register("build", build)
    job = store.queue()
    first, second = make_runner(), make_runner()
    first.take_due()
    clock.pass_by(LEASE_S + 1)
    second.take_due()
    end_of(second)
    go_on.set()
    end_of(first)
    assert lost.is_set()
    assert (store.rows[job].state, store.rows[job].error) == ("done", None)


# --- cancelling ---


def test_a_cancelled_coroutine_is_cancelled_and_waited_for(store, runner, handlers, end_of):
    begun, unwound = threading.Event(), []

    async def build(work):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            unwound.append(store.rows[work.taken.id].state)

    handlers.register("build", build)
    job = store.queue()
    runner.take_due()
    assert begun.wait(SOON_S)
    store.request_cancel(job)
    runner.look_after()
    end_of(runner)
    assert unwound == ["running"]
    assert (store.rows[job].state, store.rows[job].attempts) == ("cancelled", 1)


def test_a_cancelled_function_ends_at_its_next_question(store, runner, handlers, end_of):
    begun, cancelled = threading.Event(), threading.Event()

    def build(work):
        begun.set()
        assert cancelled.wait(SOON_S)
        assert work.is_cancelled()
        work.check()

    handlers.register("build", build)
    job = store.queue()
    runner.take_due()
    assert begun.wait(SOON_S)
    store.request_cancel(job)
    runner.look_after()
    cancelled.set()
    end_of(runner)
    assert store.rows[job].state == "cancelled"


def test_a_handler_that_fails_after_it_was_cancelled_is_cancelled(store, runner, handlers, end_of):
    begun, cancelled = threading.Event(), threading.Event()

    def build(work):
        begun.set()
        assert cancelled.wait(SOON_S)
        raise RuntimeError

    handlers.register("build", build)
    job = store.queue()
    runner.take_due()
    assert begun.wait(SOON_S)
    store.request_cancel(job)
    runner.look_after()
    cancelled.set()
    end_of(runner)
    assert (store.rows[job].state, store.rows[job].error) == ("cancelled", None)


def test_a_handler_that_ended_before_it_was_told_is_done(store, runner, steps, end_of):
    job = store.queue()
    runner.take_due()
    work = steps.wait_until_begun()
    store.request_cancel(job)
    runner.look_after()
    with pytest.raises(JobCancelledError):
        work.progress(50)
    steps.may_end.set()
    end_of(runner)
    assert store.rows[job].state == "done"


# --- the process's end ---


def test_at_the_end_a_running_job_is_given_back_and_taken_at_once_by_another(
    store, make_runner, handlers, end_of
):
    begun = threading.Event()

    async def build(work):
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        return "by the second"

    handlers.register("build", build)
    job = store.queue()
    first, second = make_runner(), make_runner()
    first.take_due()
    assert begun.wait(SOON_S)
    first.close()
    second.take_due()
    end_of(second)
    assert store.rows[job].result == "by the second"


def test_a_handler_that_does_not_listen_loses_its_job_at_the_end(
    store, make_runner, steps, monkeypatch
):
    monkeypatch.setattr("xwe.jobs.in_process.UNWIND_WITHIN_S", 0.01)
    job = store.queue()
    runner = make_runner()
    runner.take_due()
    steps.wait_until_begun()
    thread = next(iter(runner._attempts.values()))
    runner.close()
    assert (store.rows[job].state, store.rows[job].owner) == ("queued", None)
    steps.may_end.set()
    thread.join(SOON_S)
    assert store.rows[job].state == "queued"


def test_what_ends_in_time_ends_well(store, make_runner, steps):
    job = store.queue()
    runner = make_runner()
    runner.start()
    steps.wait_until_begun()
    closing = threading.Thread(target=runner.close, args=(SOON_S,))
    closing.start()
    steps.may_end.set()
    closing.join(SOON_S)
    assert store.rows[job].state == "done"


def test_while_it_drains_nothing_new_begins_and_what_a_drain_has_ended_has_not_failed(
    store, runner, handlers, end_of
):
    begun, draining = threading.Event(), threading.Event()

    def build(work):
        begun.set()
        assert draining.wait(SOON_S)
        raise DrainingError

    handlers.register("build", build)
    job, waiting = store.queue(), store.queue()
    handlers.register("other", lambda work: None)
    store.rows[waiting] = store.rows[waiting].__class__(waiting, store.rows[waiting].due, "other")
    runner._workers = 1
    runner.take_due()
    assert begun.wait(SOON_S)
    runner.drain()
    draining.set()
    end_of(runner)
    runner.take_due()
    assert (store.rows[job].state, store.rows[job].attempts) == ("queued", 0)
    assert store.rows[waiting].state == "queued"


def test_a_closed_runner_does_not_start_again(store, make_runner, steps):
    runner = make_runner()
    runner.close()
    runner.close()
    store.queue()
    runner.wake()
    assert runner.running == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "xwe-jobs"]


# --- its own threads ---


def test_a_wake_up_is_enough(store, make_runner, steps):
    runner = make_runner(poll_s=3600, look_s=3600)
    store.queue()
    runner.wake()
    steps.wait_until_begun()
    store.queue()
    runner.wake()
    steps.wait_until_begun()


def test_no_more_jobs_run_at_once_than_there_are_workers(store, make_runner, steps):
    # It looks again when one has ended, or never within this test.
    runner = make_runner(workers=2, poll_s=3600, look_s=3600)
    jobs = [store.queue() for _ in range(3)]
    runner.take_due()
    runner.take_due()
    assert [store.rows[job].state for job in jobs] == ["running", "running", "queued"]
    runner.start()
    for _ in range(2):
        steps.wait_until_begun()
    steps.may_end.set()
    steps.wait_until_begun()
    assert store.rows[jobs[2]].attempts == 1


def test_a_runner_survives_a_database_that_goes_away(store, make_runner, steps):
    store.is_away = True
    runner = make_runner()
    runner.start()
    assert store.refused.wait(SOON_S)
    job = store.queue()
    store.is_away = False
    steps.may_end.set()
    steps.wait_until_begun()
    assert store.rows[job].attempts == 1


def test_an_end_is_stored_when_the_database_is_back(store, runner, steps, end_of):
    job = store.queue()
    runner.take_due()
    steps.wait_until_begun()
    store.is_away = True
    steps.may_end.set()
    assert store.refused.wait(SOON_S)
    store.is_away = False
    end_of(runner)
    assert store.rows[job].state == "done"


def test_progress_that_cannot_be_stored_does_not_end_the_work(store, runner, handlers, end_of):
    begun, is_away = threading.Event(), threading.Event()

    def build(work):
        begun.set()
        assert is_away.wait(SOON_S)
        work.progress(50)
        store.is_away = False

    handlers.register("build", build)
    job = store.queue()
    runner.take_due()
    assert begun.wait(SOON_S)
    store.is_away = True
    is_away.set()
    end_of(runner)
    assert (store.rows[job].state, store.refused.is_set()) == ("done", True)


def test_a_lease_that_could_not_be_prolonged_in_time_is_over(store, runner, clock, steps, caplog):
    store.queue()
    runner.take_due()
    work = steps.wait_until_begun()
    store.is_away = True
    clock.pass_by(LEASE_S - 1)
    with pytest.raises(Exception, match="database"):
        runner.look_after()
    work.check()
    clock.pass_by(2)
    with pytest.raises(Exception, match="database"):
        runner.look_after()
    store.is_away = False
    with pytest.raises(JobLostError):
        work.check()


def test_a_runner_stumbles_and_goes_on(store, make_runner, steps, monkeypatch, caplog):
    stumbled = threading.Event()
    look = store.is_any_due

    def stumble(kinds, at):
        if not stumbled.is_set():
            stumbled.set()
            raise ZeroDivisionError
        return look(kinds, at)

    monkeypatch.setattr(store, "is_any_due", stumble)
    store.queue()
    with caplog.at_level(logging.ERROR):
        make_runner().start()
        steps.wait_until_begun()
    assert "stumbled" in caplog.text


def test_a_kind_has_one_handler(handlers):
    handlers.register("build", print)
    with pytest.raises(ValueError, match="build"):
        handlers.register("build", print)
