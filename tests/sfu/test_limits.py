"""The limits as texts meet them."""

import pytest

from sfu import limits


def test_texts_are_measured_as_they_are_sent() -> None:
    assert limits.utf8_bytes("né", "ß") == 5
    assert limits.attributes_bytes({"clé": "é", "k": ""}.items()) == 4 + 2 + 1


@pytest.mark.parametrize(
    ("text", "longest", "kept"),
    [("abc", 2, "ab"), ("aé", 2, "a"), ("aé", 3, "aé"), ("😀😀", 7, "😀"), ("ab", 100, "ab")],
)
def test_a_cut_text_ends_with_a_whole_character(text: str, longest: int, kept: str) -> None:
    assert limits.cut(text, longest) == kept
