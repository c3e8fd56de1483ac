"""Hits as people read them: snippets, highlights, and nothing that steers the terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colxtr.cli.render import clean, megabytes, print_hits, snippet, word_spans
from colxtr.hits import Explanation, Hit, TokenMatch

LONG = "Nothing to see here. " * 30 + "The needle lies in this haystack. " + "Nor there. " * 30


def match(text, word, query_token=None, field="text"):
    start = text.index(word)
    return TokenMatch(
        query_token=word if query_token is None else query_token,
        similarity=0.9,
        retrieved=True,
        imputed=None,
        document_token_index=0,
        document_token=word,
        field=field,
        start=start,
        end=start + len(word),
    )


def explanation(*matches):
    return Explanation("a", 0.5, "colxtr", matches)


def test_pieces_of_a_word_mark_the_whole_word():
    text = "An unbelievable tale"
    assert word_spans(text, [match(text, "bel", "##bel")], "text") == [(3, 15)]


@pytest.mark.parametrize(
    ("word", "query_token"),
    [("An", "an"), (",", "tale"), ("tale", ""), ("tale", "?"), ("tale", "how"), ("tale", "x")],
)
def test_what_means_nothing_is_not_marked(word, query_token):
    text = "An old, old tale"
    assert word_spans(text, [match(text, word, query_token)], "text") == []


def test_a_token_of_a_script_without_spaces_stays_as_it_is():
    text = "東京は日本の首都 ABC東京"
    assert word_spans(text, [match(text, "日本")], "text") == [(3, 5)]
    assert word_spans(text, [match(text, "BC", "##bc")], "text") == [(9, 12)]


def test_spans_belong_to_their_field():
    text = "old tale"
    assert word_spans(text, [match(text, "old", field="title")], "text") == []
    assert word_spans(text, [match(text, "old", field="title")], "title") == [(0, 3)]


def test_the_snippet_holds_the_matches():
    spans = word_spans(LONG, [match(LONG, "needle"), match(LONG, "haystack")], "text")
    start, end = snippet(LONG, spans, 100)
    assert "needle lies in this haystack" in LONG[start:end]
    assert 60 <= end - start <= 110
    assert LONG[start - 1] == LONG[end] == " "


def test_a_snippet_without_spaces_is_as_long_as_others():
    assert snippet("漢" * 500, [], 100) == (0, 100)
    assert snippet("漢" * 500, [(300, 301)], 100) == (300, 400)
    assert snippet("a " + "x" * 500, [], 100) == (0, 100)


def test_a_snippet_begins_with_a_word():
    text = "one " * 50 + " \n needle " + "two " * 50
    start, _ = snippet(text, [(204, 210)], 16)
    assert not text[start].isspace()


@given(
    st.text(st.sampled_from("ab \n漢"), max_size=200),
    st.lists(st.tuples(st.integers(0, 199), st.integers(1, 9)), max_size=6),
    st.integers(10, 80),
)
def test_any_snippet_is_a_bounded_part_of_the_text(text, places, length):
    spans = sorted({(a, min(a + n, len(text))) for a, n in places if a < len(text)})
    start, end = snippet(text, spans, length)
    assert 0 <= start <= end <= len(text)
    assert end - start <= length + 9
    assert bool(text.strip()) <= (start < end)


def test_print_hits_without_a_terminal(capsys):
    hit = Hit("a#1", 0.51239, LONG, "Title\x1b[31m of it")
    why = explanation(match(LONG, "needle"), match(LONG, "haystack"))
    print_hits([hit], [why], snippet_length=40, table=True)
    assert capsys.readouterr().out.splitlines() == [
        "  1 0.5124 a#1",
        "    Title [31m of it",
        "    … The needle lies in this haystack. Nor …",
        "    query      sim. document",
        "    needle    0.900 needle",
        "    haystack  0.900 haystack",
    ]


@pytest.mark.parametrize("identifier", ["a.py", "a.py#3"])
def test_a_title_that_the_id_tells_is_left_out(capsys, identifier):
    print_hits([Hit(identifier, 0.5, "text", "a.py")], [explanation()])
    assert capsys.readouterr().out.splitlines() == [f"  1 0.5000 {identifier}", "    text"]


def test_highlights_are_for_terminals(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    text = "one needle\nin a haystack"
    hits, why = [Hit("a", 0.5, text)], [explanation(match(text, "needle"))]
    monkeypatch.setattr("sys.stdout", Terminal())
    print_hits(hits, why)
    import sys

    assert "one \x1b[1;33mneedle\x1b[0m in a haystack" in sys.stdout.getvalue()
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    print_hits(hits, why)
    assert "33m" not in sys.stdout.getvalue()


def test_clean():
    assert clean("a\n\x1b[2Jb\x9b\t c ") == "a [2Jb c"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (5e12, "5,000.0 GB"),
    ],
)
def test_megabytes(count, text):
    assert megabytes(count) == text
