"""The log of requests, and waiting for what happens in it."""

import threading

import pytest

from xwe.mock.recorder import ReceivedRequest, RequestLog


def test_waiting_ends_with_the_change_that_makes_it_true():
    log = RequestLog()
    request = ReceivedRequest("/v1/x", {}, None)
    log.arrived(request)
    asked = threading.Event()

    def is_finished():
        asked.set()
        return request.finished

    def finish():
        asked.wait()
        log.finished(request)

    worker = threading.Thread(target=finish)
    worker.start()
    log.wait_until(is_finished, timeout_s=60)
    worker.join()
    assert log.requests == [request]


def test_waiting_in_vain_raises_and_shows_what_there_was():
    log = RequestLog()
    log.arrived(ReceivedRequest("/v1/shown", {}, None))
    with pytest.raises(TimeoutError, match="/v1/shown"):
        log.wait_until(lambda: len(log.requests) == 2, timeout_s=0.01)


def test_a_client_that_left_did_not_finish():
    log = RequestLog()
    request = ReceivedRequest("/v1/x", {}, None)
    log.arrived(request)
    log.finished(request)
    log.disconnected(request)
    assert (request.finished, request.disconnected) == (False, True)


def test_a_forgotten_log_is_empty_and_lists_already_given_stay():
    log = RequestLog()
    log.arrived(ReceivedRequest("/v1/x", {}, None))
    before = log.requests
    log.clear()
    assert (len(before), log.requests) == (1, [])
