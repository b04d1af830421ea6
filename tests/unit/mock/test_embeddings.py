"""Embeddings made of character n-grams."""

import base64
import math
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xwe.mock.embeddings import embed, encode_base64

# The machine may be busy with other tests.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cosine(one, other):
    return sum(a * b for a, b in zip(embed(one), embed(other), strict=True))


@given(st.text(min_size=1, max_size=50), st.sampled_from([1, 8, 256]))
@UNHURRIED
def test_every_text_has_a_unit_vector(text, dimensions):
    vector = embed(text, dimensions)
    assert len(vector) == dimensions
    assert math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("How is the weather in Paris?", "what's the weather in paris", "Sort a list in Rust"),
        ("北京今天天气怎么样", "今天北京的天气如何", "帮我写一首关于大海的诗"),
        ("ＡＢＣ　ｔｅｓｔ", "abc test", "xyz quiz"),
    ],
)
def test_similar_texts_are_near(text, near, far):
    assert cosine(text, near) > 0.5 > cosine(text, far)


def test_base64_holds_the_same_numbers_as_little_endian_floats():
    vector = embed("hello", 16)
    raw = base64.b64decode(encode_base64(vector))
    assert struct.unpack("<16f", raw) == pytest.approx(vector, abs=1e-6)
