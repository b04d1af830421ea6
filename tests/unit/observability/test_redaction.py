"""Secrets and what people wrote are taken out of a text; everything else stays."""

import time

import pytest

from xwe.observability.redaction import LONGEST_TEXT, MASK, Redactor

SECRET = "canary-0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"{{'Authorization': 'Bearer {SECRET}', 'Accept': '*/*'}}",
        f"authorization=Basic {SECRET}",
        f"the header was bearer {SECRET}, refused",
        f"LLMClient(api_key='{SECRET}')",
        f'{{"api_key": "{SECRET}"}}',
        f"X-Api-Key: {SECRET}",
        f"LLM_API_KEY={SECRET}",
        f"Incorrect API key provided: sk-{SECRET}.",
        f"postgresql://xwe:{SECRET}@127.0.0.1/xwe",
        f"Cookie: session={SECRET}; other=1",
        f"GET /chat?prompt={SECRET}%20and%20more HTTP/1.1",
        f'{{"messages": [{{"role": "user", "content": "{SECRET} \\" more {SECRET}"}}]}}',
        f"{{'role': 'user', 'content': 'it\\'s {SECRET}'}}",
        f"{{'prompt': '{SECRET} cut off in the mid",
    ],
)
def test_what_must_not_be_seen_is_masked_wherever_it_stands(text):
    assert SECRET not in Redactor().redact(text)
    assert MASK in Redactor().redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "model call outcome=provider_error provider=127.0.0.1:8000 model=deepseek-flash kind=whole",
        "Listening at: http://127.0.0.1:8000 (4711)",
        "The event loop has been blocked for 2.1 s by:\n  File 'x.py', line 3, in content",
        "Is it so? Yes.",
    ],
)
def test_an_ordinary_line_stays_as_it_is(text):
    assert Redactor().redact(text) == text


def test_known_secrets_are_masked_without_any_context():
    redactor = Redactor([SECRET, f"{SECRET}-longer", None, "", "abc"])
    assert redactor.redact(f"a {SECRET}-longer b {SECRET} abc") == f"a {MASK} b {MASK} abc"


def test_a_huge_text_is_cut_and_costs_little():
    began = time.thread_time()
    redacted = Redactor([SECRET]).redact("://'content': '\\" * 1_000_000)
    assert time.thread_time() - began < 1.0
    assert len(redacted) < LONGEST_TEXT * 2
