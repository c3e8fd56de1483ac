"""Passages: what hypothesis may not break, and the places where people would cut."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from colxtr.errors import InputError
from colxtr.passages import PassageSettings, split_text

SETTINGS = st.integers(1, 40).flatmap(
    lambda words: st.builds(PassageSettings, st.just(words), st.integers(0, words // 2))
)
TEXT = st.text(st.sampled_from("ab.\n \t!?(é漢。กข") | st.characters(), max_size=600)


@example("0 0 0\u6f22", PassageSettings(2, 1), False)  # a passage within the one before it
@given(TEXT, SETTINGS, st.booleans())
def test_passages_cover_the_text_in_order(text, settings, code):
    passages = list(split_text(text, settings, code=code))
    covered = set()
    for passage in passages:
        assert passage.text == text[passage.start : passage.end]
        assert passage.text.strip()
        assert passage.line == text.count("\n", 0, passage.start) + 1
        covered.update(range(passage.start, passage.end))
    assert all(i in covered for i, character in enumerate(text) if not character.isspace())
    assert [p.number for p in passages] == list(range(1, len(passages) + 1))
    for left, right in pairwise(passages):
        assert left.start < right.start
        assert left.end < right.end


@given(TEXT, SETTINGS, st.booleans())
def test_passages_are_bounded(text, settings, code):
    for passage in split_text(text, settings, code=code):
        assert len(passage.text.split()) <= settings.words
        assert sum(not c.isspace() for c in passage.text) <= 20 * settings.words


@given(TEXT, SETTINGS)
def test_without_overlap_no_character_comes_twice(text, settings):
    passages = list(split_text(text, PassageSettings(settings.words, 0)))
    for left, right in pairwise(passages):
        assert left.end <= right.start


def test_short_text_is_one_passage():
    (passage,) = split_text("  one two\nthree \n")
    assert (passage.number, passage.text, passage.start, passage.end, passage.line) == (
        1,
        "one two\nthree",
        2,
        15,
        1,
    )


@pytest.mark.parametrize("text", ["", " \n\t ", "\u3000"])
def test_blank_text_has_no_passages(text):
    assert list(split_text(text)) == []


def test_prose_is_cut_after_sentences():
    text = " ".join(f"This is sentence number {i}." for i in range(100))
    passages = list(split_text(text, PassageSettings(23, 5)))
    assert all(p.text.startswith("This is") and p.text.endswith(".") for p in passages)


def test_a_paragraph_wins_over_a_sentence():
    paragraph = "One sentence here. Another sentence here. A third one here."
    passages = list(split_text("\n\n".join([paragraph] * 9), PassageSettings(12, 0)))
    assert [p.text for p in passages] == [paragraph] * 9
    assert [p.line for p in passages] == list(range(1, 18, 2))


def test_code_is_cut_at_lines_and_keeps_its_indentation():
    function = "def f{}(a, b):\n    total = a + b\n    return total * 2"
    text = "\n\n\n".join(function.format(i) for i in range(20)) + "\n"
    lines = set(text.splitlines())
    passages = list(split_text(text, PassageSettings(40, 8), code=True))
    assert len(passages) > 3
    assert all(set(p.text.splitlines()) <= lines for p in passages)
    assert all(p.text.endswith("return total * 2") for p in passages)


def test_neighbours_share_about_the_overlap():
    text = " ".join(f"w{i}" for i in range(1000))
    for left, right in pairwise(split_text(text, PassageSettings(100, 20))):
        assert 10 <= len(text[right.start : left.end].split()) <= 30


def test_text_without_spaces_is_cut_too():
    for text in ("漢字" * 500 + "。", "ภาษาไทย" * 300, "x" * 10_000):
        passages = list(split_text(text))
        assert len(passages) > 2
        assert max(len(p.text) for p in passages) <= 150 * 20


def test_a_long_gap_separates():
    passages = list(split_text("left" + " " * 5000 + "right"))
    assert [p.text for p in passages] == ["left", "right"]


@pytest.mark.parametrize(
    ("words", "overlap"), [(0, 0), (-1, 0), (100_001, 0), (10, 6), (10, -1), (1, 1)]
)
def test_impossible_lengths(words, overlap):
    with pytest.raises(InputError, match="are possible"):
        PassageSettings(words, overlap)
