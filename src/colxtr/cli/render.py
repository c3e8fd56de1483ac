"""Hits and figures as people read them. Knows nothing of how they were found."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from colxtr.passages import UNSPACED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from colxtr.hits import Explanation, Hit, TokenMatch

SNIPPET_LENGTH = 280  # characters
_HIGHLIGHT = "bold yellow"
_LONGEST_WORD = 40  # characters
_WORD = re.compile(r"\w+")
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")  # also what would steer the terminal
_COMMON = frozenset(
    """
    a an and are as at be been by can did do does for from had has have he her his how i if in
    into is it its me my no not of on or our she should so such than that the their them then
    there these they this to was we were what when where which who whom whose why will with
    would you your
    """.split()  # noqa: SIM905 (a list of words reads better as one text)
)

Span = tuple[int, int]


def megabytes(count: float) -> str:
    """A number of bytes for people: `"12.3 MB"` (10^6 bytes)."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def info_lines(info: Any) -> Iterator[str]:
    """The lines of `colxtr info`."""
    for name, value in info.as_dict().items():
        if name == "bytes":
            for part, size in value.items():
                each = f"{size / max(info.n_tokens, 1):>8.2f} a token"
                yield f"{'bytes, ' + part:<24}{size:>16,}  {megabytes(size):<10}{each}"
        elif name.startswith("bytes_") and isinstance(value, int):
            yield f"{name:<24}{value:>16,}  {megabytes(value)}"
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{name:<24}{value:>16,}"
        elif isinstance(value, float):
            yield f"{name:<24}{value:>16.2f}"
        else:
            yield f"{name:<24}{clean(str(value))}"


def print_hits(
    hits: Sequence[Hit],
    explanations: Sequence[Explanation],
    *,
    table: bool = False,
    snippet_length: int = SNIPPET_LENGTH,
) -> None:
    """Print hits to standard output: rank, score, id, title, and the part that matches best.

    Args:
        hits: Best first.
        explanations: Of the same documents.
        table: Whether to print the matches of all query tokens, too.
        snippet_length: About how many characters of the text.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, markup=False, emoji=False)
    more = "…" if console.encoding.startswith("utf") else "..."
    for rank, (hit, explanation) in enumerate(zip(hits, explanations, strict=True), start=1):
        head = Text.assemble(
            (f"{rank:>3} ", "dim"), (f"{hit.score:.4f} ", "dim"), (clean(hit.id), "bold")
        )
        _print(console, head, indent=0)
        title_spans = word_spans(hit.title, explanation.matches, "title")
        if clean(hit.title) not in ("", clean(hit.id), clean(hit.id).rpartition("#")[0]):
            _print(console, _styled(hit.title, title_spans))
        spans = word_spans(hit.text, explanation.matches, "text")
        start, end = snippet(hit.text, spans, snippet_length)
        if start < end:
            dots = (f"{more} " * (start > 0), f" {more}" * (end < len(hit.text.rstrip())))
            _print(console, _styled(hit.text, spans, (start, end), dots))
        if table:
            for line in match_lines(explanation):
                _print(console, Text(line))


def match_lines(explanation: Explanation) -> Iterator[str]:
    """The best match of each query token, one to a line, below the names of the columns."""
    width = max(map(len, ["query", *(match.query_token for match in explanation.matches)]))
    yield f"{'query':<{width}}   sim. document"
    for match in explanation.matches:
        note = "" if match.retrieved else "  (not retrieved)"
        if match.imputed is not None:
            note = f"  (not retrieved, counted as {match.imputed:.3f})"
        yield clean(
            f"{match.query_token:<{width}} {match.similarity:6.3f} {match.document_token}{note}",
            keep_spaces=True,
        )


def clean(text: str, *, keep_spaces: bool = False) -> str:
    """Text on one line, without characters that would steer the terminal."""
    if keep_spaces:
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return _UNPRINTABLE.sub(" ", text).strip()


def word_spans(text: str, matches: Sequence[TokenMatch], field: str) -> list[Span]:
    """The words of a field that the query's tokens match best, in order and without overlap.

    Words that carry no meaning, and parts of the query that are not words, are left out.
    """
    words = set()
    for match in matches:
        if match.field == field and _means_something(match.query_token.strip("#▁Ġ")):
            span = _grown(text, match.start, match.end)
            if _means_something(text[slice(*span)]):
                words.add(span)
    return sorted(words)


def _means_something(word: str) -> bool:
    alone = len(word) == 1 and word.isascii()
    return bool(_WORD.fullmatch(word)) and not alone and word.lower() not in _COMMON


def _grown(text: str, start: int, end: int) -> Span:
    """The span, grown to the ends of its word (a token may be a piece of it)."""
    while start > 0 and _joined(text[start - 1 : start + 1]):
        start -= 1
    while 0 < end < len(text) and _joined(text[end - 1 : end + 1]):
        end += 1
    return start, end


def _joined(pair: str) -> bool:
    """Whether two neighbours belong to one word; without spaces, nobody but the model knows."""
    return len(pair) == 2 and pair.isalnum() and not UNSPACED.search(pair)


def snippet(text: str, spans: Sequence[Span], length: int) -> Span:
    """The part of the text, of about `length` characters, that holds the most spans.

    It begins and ends between words, and is moved so that the spans stand near its middle.
    """
    text_end = len(text.rstrip())
    if text_end <= length or not spans:
        return 0, _word_end(text, min(length, text_end), text_end)
    windows = [[s for s in spans if first <= s[0] and s[1] <= first + length] for first, _ in spans]
    best = max(windows, key=len) or [spans[0]]
    spare = max(0, length - (best[-1][1] - best[0][0]))
    start = max(0, min(best[0][0] - spare // 2, text_end - length))
    if best[-1][1] <= length:  # the beginning of the text reads best, if it will do
        start = 0
    while 0 < start < best[0][0] and not text[start - 1].isspace():
        start += 1
    while start < best[0][0] and text[start].isspace():
        start += 1
    return start, _word_end(text, min(start + length, text_end), text_end, best[-1][1])


def _word_end(text: str, end: int, text_end: int, least: int = 1) -> int:
    for at_space in range(end, max(least, end - _LONGEST_WORD), -1):
        if at_space == text_end or text[at_space].isspace():
            return at_space
    return max(end, min(least, text_end))  # no word ends near: a script without spaces, or data


def _styled(
    text: str,
    spans: Sequence[Span],
    window: Span | None = None,
    dots: tuple[str, str] = ("", ""),
) -> Text:
    """A window of the text on one line, its spans highlighted."""
    from rich.text import Text  # noqa: PLC0415

    first, last = window or (0, len(text))
    inside = [(max(a, first), min(b, last)) for a, b in spans if a < last and b > first]
    cuts = sorted({first, last, *(cut for span in inside for cut in span)})
    styled = Text(dots[0])
    for start, end in pairwise(cuts):
        piece = _UNPRINTABLE.sub(" ", text[start:end])
        styled.append(piece, _HIGHLIGHT if (start, end) in inside else "")
    return styled.append(dots[1].rstrip() if last == first else dots[1])


def _print(console: Console, text: Text, indent: int = 4) -> None:
    from rich.padding import Padding  # noqa: PLC0415

    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, indent), expand=False))
    else:
        sys.stdout.write(" " * indent + text.plain.rstrip() + "\n")
