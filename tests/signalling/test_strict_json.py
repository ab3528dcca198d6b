"""JSON that Python reads and nobody else could."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling import strict_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    "text",
    [
        b'"\\ud800"',
        b'{"\\udc00": 1}',
        b'[{"a": ["\\ud800x"]}]',
        b'"\xed\xa0\x80"',
        b"\xff\xfe\x00",
        "[]".encode("utf-16"),
        b"NaN",
        b"[-Infinity]",
        b"1" * 5_000,
        b"[" * 100_000,
        b"",
        b"{} {}",
    ],
)
def test_what_nothing_else_could_carry_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        strict_json.parse(text)


def test_surrogates_in_pairs_are_a_character() -> None:
    assert strict_json.parse(b'"\\ud83d\\ude00"') == "\U0001f600"


@given(VALUES)
def test_what_is_written_reads_the_same(value: object) -> None:
    assert strict_json.parse(strict_json.write(value)) == value
