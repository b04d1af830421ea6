"""The runner, its leases and its ends, under a clock that the test moves."""

import asyncio
import logging
import threading
from datetime import timedelta

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
NEVER_S = 3600.0


def on_loop(coro):
    return get_loop_thread().run(coro, SOON_S)


def test_a_handler_gets_its_job_and_its_result_is_kept(store, handlers, run_due):
    async def build(work):
        assert get_loop_thread().is_current()
        return [work.payload["name"], work.key, work.attempt]

    handlers["build"] = build
    job = store.queue(payload={"name": "李白"}, user_id=7)
    run_due()
    assert (store.rows[job].state, store.rows[job].result) == ("done", ["李白", f"job-{job}", 1])


def test_a_retry_sees_what_the_attempt_before_has_stored(store, handlers, clock, run_due):
    async def build(work):
        if work.attempt == 1:
            await work.progress(10, "half", {"one": "done"})
            raise RuntimeError
        return dict(work.detail)

    handlers["build"] = build
    job = store.queue()
    run_due()
    assert (store.rows[job].progress, store.rows[job].message) == (10, "half")
    clock.pass_by(60)
    run_due()
    assert store.rows[job].result == {"one": "done"}


def test_progress_stays_between_0_and_100(store, handlers, run_due):
    seen = []

    async def build(work):
        for percent in (-5, 33.4, 250):
            await work.progress(percent)
            seen.append(store.rows[work.job.id].progress)

    handlers["build"] = build
    store.queue()
    run_due()
    assert seen == [0, 33, 100]


# --- failures ---


def failing(error, calls=None):
    async def build(work):
        if calls is not None:
            calls.append(work.attempt)
        raise error

    return build


def test_a_failed_job_waits_longer_each_time_and_the_third_failure_parks_it(
    store, handlers, clock, run_due
):
    calls = []
    handlers["build"] = failing(ProviderRateLimitedError("too many, please wait"), calls)
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
    handlers["build"] = failing(ProviderRateLimitedError(retry_after_s=45))
    job = store.queue()
    run_due()
    assert (store.rows[job].due - clock()).total_seconds() == 45


def test_what_is_known_to_fail_again_is_not_tried_again(store, handlers, run_due):
    handlers["build"] = failing(ProviderAuthError())
    job = store.queue()
    run_due()
    assert (store.rows[job].state, store.rows[job].attempts) == ("dead", 1)


@pytest.mark.parametrize("fault", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_the_user_does_not_hear_what_went_wrong_on_this_side(
    store, handlers, run_due, caplog, fault
):
    """Nor does the loop end, whatever the handler raises."""
    handlers["build"] = failing(fault("the canary's name"))
    job = store.queue()
    run_due()
    assert str(job) in store.rows[job].error
    assert "canary" not in store.rows[job].error
    assert "canary" in caplog.text


def test_a_handler_that_is_cancelled_from_within_has_failed(store, handlers, run_due):
    handlers["build"] = failing(asyncio.CancelledError())
    job = store.queue()
    run_due()
    assert (store.rows[job].state, store.rows[job].attempts) == ("queued", 1)


# --- leases ---


def test_a_job_that_runs_keeps_its_lease(store, make_runner, clock, steps, look):
    job = store.queue()
    runner, other = make_runner(), make_runner()
    look(runner.start)
    steps.wait_until_begun()
    for _ in range(10):
        clock.pass_by(LEASE_S / 3 + 1)
        renewed = clock() + timedelta(seconds=LEASE_S)
        store.wait_until(lambda at=renewed: store.rows[job].lease_until == at)
    look(other.start)
    assert other.running == 0
    runner.close()
    assert store.rows[job].attempts == 0, "it was given back, and the attempt does not count"


def test_when_a_lease_has_run_out_another_runner_follows_and_the_first_one_changes_nothing(
    store, make_runner, clock, steps, look
):
    job = store.queue()
    first, second = make_runner(check_s=NEVER_S), make_runner(check_s=NEVER_S)
    look(first.start)
    works = [steps.wait_until_begun()]
    clock.pass_by(LEASE_S - 1)
    look(second.start)
    assert second.running == 0  # too early
    clock.pass_by(2)
    look(second.wake)
    works.append(steps.wait_until_begun())
    assert [work.attempt for work in works] == [1, 2]
    assert works[0].key == works[1].key
    on_loop(works[1].progress(40))
    first.wake()
    assert steps.was_cancelled.wait(SOON_S)
    with pytest.raises(JobLostError):
        on_loop(works[0].progress(99))
    first.close()
    assert store.rows[job].state == "running"
    works[1].check()
    assert (store.rows[job].attempts, store.rows[job].progress) == (2, 40)


def test_a_handler_notices_at_its_next_report_that_the_job_is_lost(
    store, make_runner, clock, handlers, look
):
    begun, lost, go_on = threading.Event(), threading.Event(), asyncio.Event()

    async def build(work):
        if work.attempt == 1:
            begun.set()
            await go_on.wait()
            try:
                await work.progress(50)
            except JobLostError:
                lost.set()
                raise

    handlers["build"] = build
    job = store.queue()
    first, second = make_runner(check_s=NEVER_S), make_runner()
    look(first.start)
    assert begun.wait(SOON_S)
    clock.pass_by(LEASE_S + 1)
    second.start()
    store.wait_until(lambda: store.rows[job].state == "done")
    get_loop_thread().loop.call_soon_threadsafe(go_on.set)
    assert lost.wait(SOON_S)
    first.close()
    assert (store.rows[job].state, store.rows[job].error) == ("done", None)


def test_a_lease_that_could_not_be_renewed_in_time_is_over(store, make_runner, clock, steps):
    store.queue()
    make_runner().start()
    work = steps.wait_until_begun()
    store.is_away = True
    clock.pass_by(LEASE_S - 1)
    store.refused.clear()
    assert store.refused.wait(SOON_S)
    work.check()
    clock.pass_by(2)
    assert steps.was_cancelled.wait(SOON_S)
    store.is_away = False
    with pytest.raises(JobLostError):
        work.check()


def test_a_handler_whose_lease_cannot_be_checked_does_not_run_on(
    store, make_runner, steps, monkeypatch, caplog
):
    def fail(_taken):
        raise ZeroDivisionError

    monkeypatch.setattr(store, "is_cancelled", fail)
    store.queue()
    make_runner().start()
    steps.wait_until_begun()
    assert steps.was_cancelled.wait(SOON_S)
    assert "ZeroDivisionError" in caplog.text


# --- cancelling ---


def test_a_cancelled_handler_is_cancelled_and_waited_for(store, runner, handlers):
    begun, unwound = threading.Event(), []

    async def build(work):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            unwound.append(store.rows[work.job.id].state)

    handlers["build"] = build
    job = store.queue()
    runner.start()
    assert begun.wait(SOON_S)
    store.request_cancel(job)
    store.wait_until(lambda: store.rows[job].state == "cancelled")
    assert unwound == ["running"]
    assert store.rows[job].attempts == 1


def test_a_cancel_during_a_check_that_has_not_seen_it_is_heard_too(
    store, make_runner, steps, monkeypatch
):
    has_read, may_return, read = threading.Event(), threading.Event(), store.is_cancelled

    def read_early(taken):
        is_cancelled = read(taken)
        has_read.set()
        assert may_return.wait(SOON_S)
        return is_cancelled

    monkeypatch.setattr(store, "is_cancelled", read_early)
    job = store.queue()
    runner = make_runner(check_s=NEVER_S)
    runner.start()
    steps.wait_until_begun()
    runner.wake()
    assert has_read.wait(SOON_S)
    store.request_cancel(job)
    runner.wake()
    on_loop(asyncio.sleep(0))  # the wake-up has reached the loop
    may_return.set()
    store.wait_until(lambda: store.rows[job].state == "cancelled")


def test_a_handler_that_fails_after_it_was_cancelled_is_cancelled(store, runner, handlers):
    begun = threading.Event()

    async def build(work):
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError from None

    handlers["build"] = build
    job = store.queue()
    runner.start()
    assert begun.wait(SOON_S)
    store.request_cancel(job)
    store.wait_until(lambda: store.rows[job].state == "cancelled")
    assert store.rows[job].error is None


def test_a_handler_that_ends_all_the_same_is_done(store, runner, handlers):
    begun, refused = threading.Event(), []

    async def build(work):
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with pytest.raises(JobCancelledError):
                await work.progress(50)
            refused.append(1)
        return "done"

    handlers["build"] = build
    job = store.queue()
    runner.start()
    assert begun.wait(SOON_S)
    store.request_cancel(job)
    store.wait_until(lambda: store.rows[job].state == "done")
    assert refused == [1]


# --- the process's end ---


def test_at_the_end_a_running_job_is_given_back_and_taken_at_once_by_another(
    store, make_runner, handlers
):
    begun = threading.Event()

    async def build(work):
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        return "by the second"

    handlers["build"] = build
    job = store.queue()
    first, second = make_runner(), make_runner()
    first.start()
    assert begun.wait(SOON_S)
    first.close()
    second.start()
    store.wait_until(lambda: store.rows[job].state == "done")
    assert store.rows[job].result == "by the second"


def test_a_handler_that_does_not_listen_loses_its_job_at_the_end(
    store, make_runner, handlers, monkeypatch
):
    monkeypatch.setattr("xwe.jobs.in_process.UNWIND_WITHIN_S", 0.01)
    begun, may_end = threading.Event(), asyncio.Event()

    async def build(work):
        begun.set()
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue
        return "too late"

    handlers["build"] = build
    job = store.queue()
    runner = make_runner()
    runner.start()
    assert begun.wait(SOON_S)
    runner.close()
    assert (store.rows[job].state, store.rows[job].owner) == ("queued", None)
    get_loop_thread().loop.call_soon_threadsafe(may_end.set)
    runner.close(SOON_S)
    assert runner.running == 0
    assert store.rows[job].state == "queued"


def test_what_ends_in_time_ends_well(store, make_runner, steps):
    job = store.queue()
    runner = make_runner()
    runner.start()
    steps.wait_until_begun()
    closing = threading.Thread(target=runner.close, args=(SOON_S,))
    closing.start()
    steps.let_end()
    closing.join(SOON_S)
    assert store.rows[job].state == "done"


def test_while_it_drains_nothing_new_begins_and_what_a_drain_has_ended_has_not_failed(
    store, make_runner, handlers
):
    begun, draining = threading.Event(), asyncio.Event()

    async def build(work):
        begun.set()
        await draining.wait()
        raise DrainingError

    handlers["build"] = handlers["other"] = build
    job, waiting = store.queue(), store.queue(kind="other")
    runner = make_runner(workers=1)
    runner.start()
    assert begun.wait(SOON_S)
    runner.drain()
    get_loop_thread().loop.call_soon_threadsafe(draining.set)
    store.wait_until(lambda: store.rows[job].state == "queued")
    on_loop(runner.take_due())
    assert (store.rows[job].state, store.rows[job].attempts) == ("queued", 0)
    assert store.rows[waiting].state == "queued"


def test_a_closed_runner_does_not_start_again(store, make_runner, steps):
    runner = make_runner()
    runner.close()
    runner.close()
    store.queue()
    runner.wake()
    assert runner.running == 0
    assert steps.works == []


# --- looking for jobs ---


def test_a_wake_up_is_enough(store, make_runner, steps):
    runner = make_runner(poll_s=NEVER_S)
    store.queue()
    runner.wake()
    steps.wait_until_begun()
    store.queue()
    runner.wake()
    steps.wait_until_begun()


def test_no_more_jobs_run_at_once_than_there_are_workers(store, make_runner, steps):
    runner = make_runner(workers=2)
    jobs = [store.queue() for _ in range(3)]
    runner.start()
    for _ in range(2):
        steps.wait_until_begun()
    on_loop(runner.take_due())
    assert [store.rows[job].state for job in jobs] == ["running", "running", "queued"]
    steps.let_end()
    steps.wait_until_begun()
    assert store.rows[jobs[2]].attempts == 1


def test_a_runner_survives_a_database_that_goes_away(store, make_runner, steps):
    store.is_away = True
    runner = make_runner(poll_s=0.01)
    runner.start()
    assert store.refused.wait(SOON_S)
    job = store.queue()
    store.is_away = False
    steps.wait_until_begun()
    assert store.rows[job].attempts == 1


def test_an_end_is_stored_when_the_database_is_back(store, make_runner, steps):
    job = store.queue()
    make_runner().start()
    steps.wait_until_begun()
    store.is_away = True
    steps.let_end()
    assert store.refused.wait(SOON_S)
    store.is_away = False
    store.wait_until(lambda: store.rows[job].state == "done")


def test_progress_that_cannot_be_stored_does_not_end_the_work(store, handlers, run_due):
    async def build(work):
        store.is_away = True
        await work.progress(50)
        store.is_away = False

    handlers["build"] = build
    job = store.queue()
    run_due()
    assert (store.rows[job].state, store.refused.is_set()) == ("done", True)


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
        make_runner(poll_s=0.01).start()
        steps.wait_until_begun()
    assert "stumbled" in caplog.text
