"""Long texts cut into overlapping passages, at natural boundaries where there are any.

A passage is a slice of the text, so that its offsets lead back to the place it came from.
Knows nothing of files (`corpora/`) or of the model's tokens: lengths are counted in words, which
every model shares, and a word is at most 20 characters, so that a passage is bounded as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from colxtr.errors import InputError

MAX_WORDS = 100_000  # a passage beyond this is no passage: no model reads a tenth of it

# Scripts without spaces: a Han or kana character is about one token, a Thai, Lao, Burmese or
# Khmer word about four characters. Any other run of characters counts once per 20 of them.
_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
UNSPACED = re.compile(f"[{_HAN}{_UNSPACED}]")
_WORD = re.compile(f"[{_HAN}]|[{_UNSPACED}]{{1,4}}|[^\\s{_HAN}{_UNSPACED}]{{1,20}}")
_SENTENCE_END = re.compile(r"[.!?…।。！？｡][\"'”’»)\]*_`]*$")  # noqa: RUF001 (full-width marks)
_FULL_WIDTH_STOP = "。！？｡"  # noqa: RUF001 (they end a sentence without a space after them)
_MAX_GAP = 1000  # characters of white space inside a passage; a longer gap always separates

# How good a place between two words is for a cut; the highest wins, the latest among equals.
_INSIDE, _SPACE, _LINE, _SENTENCE, _PARAGRAPH, _GAP = range(6)

_Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PassageSettings:
    """How long passages are, and how much of the one before each repeats.

    Attributes:
        words: The most words in a passage; 150 words of English are about 200 tokens, which
            small models read whole.
        overlap: About how many words two neighbours share, so that an answer that crosses the
            cut is whole in one of them.

    Raises:
        InputError: `words` is not in 1 to 100,000, or `overlap` not in 0 to half of `words`.
    """

    words: int = 150
    overlap: int = 30

    def __post_init__(self) -> None:
        if not 1 <= self.words <= MAX_WORDS:
            raise InputError(f"passages of {self.words} words; 1 to {MAX_WORDS:,} are possible")
        if not 0 <= self.overlap <= self.words // 2:
            raise InputError(
                f"an overlap of {self.overlap} words; for passages of {self.words} words "
                f"0 to {self.words // 2} (half of them) are possible"
            )


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage of a text.

    Attributes:
        number: 1 for the first passage of the text.
        text: `source[start:end]`, without white space at its ends (code keeps the indentation
            of its first line).
        start: Offset of the first character in the text.
        end: Offset after the last one.
        line: Number of the line that holds `start`, from 1.
    """

    number: int
    text: str
    start: int
    end: int
    line: int


DEFAULT_SETTINGS = PassageSettings()


def split_text(
    text: str, settings: PassageSettings = DEFAULT_SETTINGS, *, code: bool = False
) -> Iterator[Passage]:
    """Cut a text into overlapping passages that together cover every character but white space.

    A passage ends, where its last third allows, after a paragraph, else a sentence, else a line,
    else a word. Code ends before a line without indentation, else after a blank line, else
    after a line. The next one starts at such a place too, about `settings.overlap` words back.

    Args:
        text: Any text; one without a character other than white space has no passages.
        settings: The lengths.
        code: Whether lines carry the meaning (source code) rather than sentences.

    Yields:
        The passages in order, found one at a time: memory does not grow with the text.
    """
    quality = _code_quality if code else _prose_quality
    position, line_start, line = 0, 0, 1
    number = repeated = 0  # words at the head that the passage before had
    while spans := list(islice(_words(text, position), settings.words + 1)):
        number += 1
        qualities = [quality(text, a, b) for a, b in pairwise(spans)]
        size = _size(qualities, settings.words, repeated)
        start = _indented(text, spans[0][0]) if code else spans[0][0]
        line += text.count("\n", line_start, start)
        line_start = start
        yield Passage(number, text[start : spans[size - 1][1]], start, spans[size - 1][1], line)
        if size == len(spans):
            return
        following = _next(qualities, size, settings)
        position, repeated = spans[following][0], size - following


def _words(text: str, position: int) -> Iterator[_Span]:
    return (match.span() for match in _WORD.finditer(text, position))


def _size(qualities: list[int], words: int, repeated: int) -> int:
    """How many words the passage takes, some new; `qualities[i]` rates a cut after word i."""
    if _GAP in qualities:
        return qualities.index(_GAP) + 1
    if len(qualities) < words:  # these are all the words that are left
        return len(qualities) + 1
    size = _best(qualities, max(repeated + 1, words - words // 3), words)
    if qualities[size - 1] <= _SPACE:  # nothing better than a space: look further back
        size = _best(qualities, max(repeated + 1, words - words * 2 // 3), words)
    return size


def _best(qualities: list[int], fewest: int, most: int) -> int:
    return max(range(fewest, most + 1), key=lambda size: (qualities[size - 1], size))


def _next(qualities: list[int], size: int, settings: PassageSettings) -> int:
    """Index of the word that starts the next passage: at least one and at most `size`."""
    if settings.overlap == 0 or qualities[size - 1] == _GAP:
        return size
    wanted = size - settings.overlap
    least = max(1, settings.words // 4, size - settings.overlap * 3 // 2)
    most = max(least, size - settings.overlap // 2)
    return max(range(least, most + 1), key=lambda i: (qualities[i - 1], -abs(i - wanted)))


def _prose_quality(text: str, before: _Span, after: _Span) -> int:
    gap = text[before[1] : after[0]]
    if not gap:
        return _SENTENCE if text[before[1] - 1] in _FULL_WIDTH_STOP else _INSIDE
    if len(gap) > _MAX_GAP:
        return _GAP
    if gap.count("\n") > 1:
        return _PARAGRAPH
    if _SENTENCE_END.search(text[slice(*before)]):
        return _SENTENCE
    return _LINE if "\n" in gap else _SPACE


def _code_quality(text: str, before: _Span, after: _Span) -> int:
    gap = text[before[1] : after[0]]
    if len(gap) > _MAX_GAP:
        return _GAP
    if gap.count("\n") > 1:
        return _PARAGRAPH if gap.endswith("\n") else _SENTENCE
    if "\n" in gap:
        return _LINE
    return _SPACE if gap else _INSIDE


def _indented(text: str, start: int) -> int:
    """Where the line of `start` begins, if only blanks stand before `start`, else `start`."""
    head = text[max(0, start - _MAX_GAP) : start]
    begin = start - len(head) + len(head.rstrip(" \t"))
    return begin if begin == 0 or text[begin - 1] in "\r\n" else start
