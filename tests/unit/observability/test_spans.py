"""Model calls become spans with the GenAI names, outside the calls themselves."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from xwe.observability.observation import Observation
from xwe.observability.spans import MOST_WAITING, Spans


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    it = TracerProvider()
    it.add_span_processor(SimpleSpanProcessor(exporter))
    yield it
    it.shutdown()


@pytest.fixture
def spans(provider):
    return Spans(provider)


def test_a_call_is_a_span_with_its_names_and_times(spans, exporter, record):
    spans.note(record(usage=(3, 5, 8), total_s=2.0, attempts=2))
    assert exporter.get_finished_spans() == ()  # nothing in the call's own time
    spans.send()
    (span,) = exporter.get_finished_spans()
    assert span.name == "chat m"
    assert span.kind is SpanKind.CLIENT
    assert span.end_time - span.start_time == 2_000_000_000
    assert span.status.status_code is StatusCode.UNSET
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "provider",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "server.address": "provider",
        "server.port": 1,
        "xwe.attempts": 2,
        "xwe.request_id": "request-1",
    }.items() <= span.attributes.items()


def test_a_failed_call_is_a_failed_span(spans, exporter, record):
    spans.note(record("provider_auth"))
    spans.note(record("cancelled"))
    spans.send()
    failed, cancelled = exporter.get_finished_spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "provider_auth"
    assert cancelled.status.status_code is StatusCode.UNSET


def test_the_span_around_the_call_is_its_parent(spans, provider, exporter, record):
    with provider.get_tracer("test").start_as_current_span("request") as request:
        spans.note(record())
    spans.send()
    span = exporter.get_finished_spans()[-1]
    assert span.parent.span_id == request.get_span_context().span_id


def test_nothing_is_queued_without_a_tracer_provider(record):
    spans = Spans.if_installed()
    spans.note(record())
    assert not spans._waiting


def test_calls_that_nobody_sends_do_not_pile_up(spans, exporter, record):
    for _ in range(MOST_WAITING + 10):
        spans.note(record())
    spans.send()
    assert len(exporter.get_finished_spans()) == MOST_WAITING


def test_the_last_spans_are_sent_at_the_end(spans, exporter, record):
    observation = Observation(spans=spans)
    observation.observe_call(record())
    observation.close()
    assert len(exporter.get_finished_spans()) == 1
