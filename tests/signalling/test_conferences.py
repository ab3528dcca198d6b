"""Conference names: made here or worthless, and equal in every answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling.conferences import Conference, ConferenceNames, TitleError, clean_text
from signalling.tokens import KeyRing

SECRET = "a-secret-of-more-than-thirty-two-bytes-for-tests"
NAMES = ConferenceNames(KeyRing({"one": SECRET}))


def test_a_made_name_is_found_again_with_its_title() -> None:
    plain, titled = NAMES.create(), NAMES.create("Réunion du lundi")

    assert NAMES.find(plain.name) == plain
    assert NAMES.find(titled.name) == titled
    assert titled.title == "Réunion du lundi"
    assert len(plain.name) == 28


def test_names_are_valid_wherever_the_keys_are_the_same() -> None:
    """No store: another node and the next start know the name too, also after a key was added."""
    name = NAMES.create().name

    assert ConferenceNames(KeyRing({"one": SECRET})).find(name)
    assert ConferenceNames(KeyRing({"new": SECRET[::-1], "one": SECRET})).find(name)
    assert ConferenceNames(KeyRing({"new": SECRET[::-1]})).find(name) is None


def test_names_are_all_different() -> None:
    assert len({NAMES.create().name for _ in range(1_000)}) == 1_000


def test_a_name_typed_from_paper_works() -> None:
    name = NAMES.create().name
    assert NAMES.find(f" {name.upper()} ") == Conference(name)
    assert NAMES.find(name.replace("0", "O").replace("1", "l")) == Conference(name)


def test_every_changed_character_makes_a_name_worthless() -> None:
    name = NAMES.create("Titre").name
    for index, character in enumerate(name):
        changed = name[:index] + ("2" if character != "2" else "3") + name[index + 1 :]
        assert NAMES.find(changed) is None, index


def test_a_title_cannot_be_exchanged() -> None:
    code = NAMES.create("Titre").name.partition("-")[0]
    suffix = NAMES.create("Autre").name.partition("-")[2]
    assert NAMES.find(f"{code}-{suffix}") is None
    assert NAMES.find(code) is None


@given(st.text(max_size=300))
def test_foreign_names_are_not_found(name: str) -> None:
    assert NAMES.find(name) is None


def test_the_longest_title_fits_into_a_room_name() -> None:
    conference = NAMES.create("é" * 60)
    assert len(conference.name) <= 256
    assert NAMES.find(conference.name) == conference
    with pytest.raises(TitleError):
        NAMES.create("é" * 61)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "abc\u202edef", "\x1b[31m"])
def test_text_that_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(TitleError):
        clean_text(text)


def test_text_is_put_on_one_line() -> None:
    assert clean_text("  Awa\n\tTraore\u0301 ") == "Awa Traoré"
