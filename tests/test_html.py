"""The text of HTML pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colxtr.corpora import read_documents
from colxtr.corpora.html import charset, extract


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>one <b>two</b>\n three</p><p>four", "one two three\n\nfour"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>x<li>y</ul>", "x\n\ny"),
        ("<tr><td>1<td>2</tr>", "1 2"),
        ("&lt;tag&gt; &amp; &eacute;", "<tag> & é"),
        ("<script>if (a < b) {}</script>seen<style>p {}</style>", "seen"),
        ("<head><meta charset=x><title>T</title></head><body>seen", "seen"),
        ("<head><title>T</title><body>seen", "seen"),
        ("<svg><title>icon</title><text>no</text></svg>seen", "seen"),
        ("<pre>def f():\n    return 1</pre>", "def f():\n    return 1"),
        ("<!-- hidden -->seen<template>no</template>", "seen"),
        ("<p>never <b>closed <i>at all", "never closed at all"),
        ("</p></div>only ends", "only ends"),
        ("no markup at all", "no markup at all"),
        ("<![if !IE]>seen<![endif]><![bogus[x]]>", "seen"),
        ("", ""),
    ],
)
def test_text(page, text):
    assert extract(page)[1] == text


PARTS = [*"<![]/?=x '", '"', "CDATA[", "--", ">", "a b=", "&#", "DOCTYPE", "<pre>", "svg>", "</"]


@given(st.lists(st.sampled_from(PARTS), max_size=30))
def test_no_page_is_too_broken(parts):
    title, text = extract("".join(parts))
    assert text == text.strip()
    assert title == title.strip()


def test_title_is_not_an_icons():
    page = "<svg><title>icon</title></svg><title>Page &amp; all</title><h1>Head</h1>"
    assert extract(page)[0] == "Page & all"


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b'<meta charset="latin-1">', "iso8859-1"),
        (b'<meta http-equiv=Content-Type content="text/html; charset=windows-1252">', "cp1252"),
        (b"<meta charset=klingon>", None),
        (b"<meta charset=base64>", None),
        (b"nothing", None),
    ],
)
def test_charset(head, encoding):
    assert charset(head) == encoding


def test_page_in_its_declared_encoding(tmp_path):
    path = tmp_path / "a.html"
    path.write_bytes('<meta charset="latin1"><title>Café</title>déjà vu'.encode("latin1"))
    (document,) = read_documents(path)
    assert (document.title, document.text) == ("Café", "déjà vu")
    assert "line" not in document.metadata
