"""The text of an HTML page, as a reader sees it. Knows nothing of files or passages."""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser

_HIDDEN = frozenset({"script", "style", "template", "noscript", "svg", "math", "head", "select"})
_BLOCKS = frozenset(
    """
    address article aside blockquote body caption dd details dialog div dl dt fieldset
    figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr legend li main nav ol p
    pre section summary table tbody tfoot thead title tr ul
    """.split()  # noqa: SIM905 (a list of names reads better as one text)
)
_KEPT_OPEN = frozenset({"title", "h1", "pre"})
_MAX_DEPTH = 50  # of hidden and kept elements in one another; no honest page comes near
_SPACE = re.compile(r"\s+")
_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE
)


def extract(page: str) -> tuple[str, str]:
    """Take title and text from a page.

    Blocks become paragraphs, line breaks lines, white space collapses except in `<pre>`; what is
    never shown (scripts, styles, templates) is left out.

    Returns:
        The title (of `<title>`, else of the first `<h1>`, else empty) and the text.
    """
    parser = _Extractor()
    parser.feed(page)
    parser.close()
    return _collapsed(parser.title or parser.heading), "".join(parser.parts).strip()


def charset(data: bytes) -> str | None:
    """The encoding that the head of a page declares, if it is one that Python knows."""
    match = _CHARSET.search(data[:4096])
    if match is None:
        return None
    try:
        codec = codecs.lookup(match[1].decode("ascii"))
    except LookupError:
        return None
    is_text: bool = getattr(codec, "_is_text_encoding", True)
    return codec.name if is_text else None


def _collapsed(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


class _Extractor(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title = ""
        self.heading = ""
        self._open: list[str] = []  # hidden elements, and title, h1 and pre, that are open
        self._at_break = True  # whether the text so far ends in white space

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._break("\n")
        elif tag in ("td", "th"):
            self._break(" ")
        elif tag in _BLOCKS:
            self._break("\n\n")
        if tag in ("body", "main"):
            self._open.clear()  # a head that was never closed
        elif (tag in _HIDDEN or tag in _KEPT_OPEN) and len(self._open) < _MAX_DEPTH:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _HIDDEN:  # <svg/>, <script/>: nothing inside, nothing to close
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        if tag in _BLOCKS:
            self._break("\n\n")

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """Pass over `<![...>`, as browsers do; the library raises AssertionError on odd ones."""
        return self.parse_bogus_comment(i, report=False)

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            if "svg" not in self._open:
                self.title += data
            return
        if not _HIDDEN.isdisjoint(self._open):
            return
        if "h1" in self._open and len(self.heading) < 1000:
            self.heading += data
        self._write(data)

    def _write(self, data: str) -> None:
        if "pre" not in self._open:
            data = _SPACE.sub(" ", data)
            data = data.lstrip() if self._at_break else data
        if data:
            self.parts.append(data)
            self._at_break = data[-1].isspace()

    def _break(self, white: str) -> None:
        if _HIDDEN.isdisjoint(self._open) and self.parts and not self.parts[-1].endswith(white):
            if self.parts[-1].isspace():
                self.parts[-1] = max(self.parts[-1].lstrip(" "), white, key=len)
            else:
                self.parts.append(white)
            self._at_break = True
