import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_models
from colxtr.documents import Document
from colxtr.encoder_config import EncoderConfig
from colxtr.errors import DocumentError, InputError, ModelError
from colxtr.pieces import next_piece
from colxtr.tokens import DocumentText, Token, Tokenizer

KINDS = ("wordpiece", "unigram", "byte_level")
LAST = {"wordpiece": "[SEP]", "unigram": "</s>", "byte_level": "[SEP]"}


def make(
    folder: Path,
    inner: tokenizers.Tokenizer | None = None,
    *,
    parallel: bool = False,
    **config: Any,
) -> Tokenizer:
    tiny_models.make_encoder_folder(folder, inner, **config)
    return Tokenizer(EncoderConfig.read(folder), folder, parallel=parallel)


def make_kind(kind: str, folder: Path, **config: Any) -> Tokenizer:
    if kind == "unigram":
        return make(folder, tiny_models.unigram(), pad_token="<pad>", **config)
    return make(folder, getattr(tiny_models, kind)(), **config)


@pytest.fixture(scope="module", params=KINDS)
def lowercasing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Tokenizer:
    folder = tmp_path_factory.mktemp("model")
    return make_kind(request.param, folder, lowercase=True, document_length=1000, query_length=1000)


def names(tokenizer: Tokenizer, text: str) -> list[str]:
    return [token.text for token in tokenizer.kept_tokens(text, tokenizer.documents([text]))]


def surfaces(tokenizer: Tokenizer, text: str) -> list[str]:
    tokens = tokenizer.kept_tokens(text, tokenizer.documents([text]))
    return [token.text for token in tokens if token.start < token.end]


# -- offsets ------------------------------------------------------------------------------------


def test_tokens_stand_where_they_are_in_the_text(tmp_path: Path) -> None:
    text = "The red  foxs, running"
    tokenizer = make(tmp_path)
    assert tokenizer.kept_tokens(text, tokenizer.documents([text])) == [
        Token("[CLS]", 0, 0),
        Token("The", 0, 3),
        Token("red", 4, 7),
        Token("fox", 9, 12),
        Token("s", 12, 13),
        Token(",", 13, 14),
        Token("run", 15, 18),
        Token("ning", 18, 22),
        Token("[SEP]", 0, 0),
    ]


def test_sentencepiece_tokens_do_not_own_the_space_before_them(tmp_path: Path) -> None:
    tokenizer = make_kind("unigram", tmp_path)
    text = "the red fox"
    assert tokenizer.kept_tokens(text, tokenizer.documents([text])) == [
        Token("the", 0, 3),
        Token("red", 4, 7),
        Token("fox", 8, 11),
        Token("</s>", 0, 0),
    ]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_every_visible_character_belongs_to_a_token(lowercasing: Tokenizer, text: str) -> None:
    document = lowercasing.documents([text])[0]
    tokens = lowercasing.kept_tokens(text, [document])
    assert len(tokens) == document.keep.sum()
    for token in tokens:
        assert 0 <= token.start <= token.end <= len(text)
        assert token.start == token.end or token.text == text[token.start : token.end]
    starts = [token.start for token in tokens if token.start < token.end]
    assert starts == sorted(starts)
    covered = {i for token in tokens for i in range(token.start, token.end)}
    letters = {i for i, c in enumerate(text) if c.isascii() and c.isalnum()}
    assert letters <= covered


@pytest.mark.parametrize("kind", KINDS)
def test_lower_casing_keeps_offsets(tmp_path: Path, kind: str) -> None:
    tokenizer = make_kind(kind, tmp_path, lowercase=True)
    text = "İİİ RED İ Fox"  # each İ becomes two characters
    found = surfaces(tokenizer, text)
    assert "RED" in found
    assert "Fox" in "".join(found)
    plain = make_kind(kind, tmp_path / "plain")
    ids = tokenizer.documents(["The RED fOx"])[0].ids
    assert ids.tolist() == plain.documents(["the red fox"])[0].ids.tolist()


# -- cutting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_truncation_keeps_the_final_special_token(tmp_path: Path, kind: str) -> None:
    tokenizer = make_kind(kind, tmp_path, document_length=6, query_length=4)
    long = "the red fox " * 50
    assert len(tokenizer.documents([long])[0]) == 6
    assert len(tokenizer.queries([long])[0]) == 4
    assert names(tokenizer, long)[-1] == LAST[kind]


WORD = st.sampled_from(["the", "red", "foxs", "running", "over", "x", "unknownword", "中文", "a,b"])
GAP = st.sampled_from([" ", "  ", " " * 700])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.tuples(WORD, GAP), max_size=120), limit=st.integers(3, 200))
def test_pieces_make_the_tokens_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    parts: list[tuple[str, str]],
    limit: int,
) -> None:
    if kind == "byte_level":  # it has tokens of blanks, which are lost where a piece is blank
        parts = [(word, gap[:2]) for word, gap in parts]
    text = "".join(word + gap for word, gap in parts).strip()
    folder = tmp_path_factory.mktemp("model")
    tokenizer = make_kind(kind, folder, document_length=limit)
    inner = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    whole = inner.encode(text, add_special_tokens=False)
    spaces = inner.token_to_id("▁")  # how many of these there are in a long gap does not matter
    expected = [(i, o) for i, o in zip(whole.ids, whole.offsets, strict=True) if i != spaces]
    document = tokenizer.documents([text])[0]
    special = {inner.token_to_id(name) for name in ("[CLS]", "[SEP]", "</s>")} - {None}
    mine = [
        (int(i), (int(a), int(b)))
        for i, (a, b) in zip(document.ids, document.offsets, strict=True)
        if i not in special and i != spaces
    ]
    assert mine == expected[: len(mine)]
    assert len(mine) == len(expected) or len(document) == limit


@pytest.mark.parametrize("filler", [" ", "\n", "x", "中", "\u0301", "x "])
def test_eight_million_characters_take_no_time(tmp_path: Path, filler: str) -> None:
    tokenizer = make(tmp_path)
    text = filler * (8_000_000 // len(filler)) + " fox"
    start = time.process_time()
    document = tokenizer.documents([text])[0]
    assert time.process_time() - start < 3
    assert len(document) <= 220


def test_a_word_at_the_end_of_a_piece_that_is_otherwise_blank_is_not_cut() -> None:
    text = "the" + " " * 9 + "over the"
    assert next_piece(text, 3, 11) == (11, 20)


def test_a_text_after_a_long_blank_is_found(tmp_path: Path) -> None:
    text = "the" + " " * 100_000 + "fox"
    assert surfaces(make(tmp_path), text) == ["the", "fox"]


@given(st.text(alphabet="ab ", max_size=80), st.integers(1, 20))
def test_pieces_cover_all_words(text: str, size: int) -> None:
    position, found = 0, []
    while position < len(text):
        start, end = next_piece(text, position, size)
        assert end - start <= max(size, len(text) - start if end == len(text) else 0)
        assert end > position
        found.append(text[start:end])
        position = end
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


# -- prefixes, expansion, skipping --------------------------------------------------------------


def test_prefix_tokens_follow_the_first_special_token(tmp_path: Path) -> None:
    tokenizer = make(
        tmp_path, query_prefix_token="[unused0]", document_prefix_token="[unused1]", query_length=5
    )
    text = "red fox red fox"
    query = tokenizer.kept_tokens(text, tokenizer.queries([text]))
    assert [token.text for token in query] == ["[CLS]", "[unused0]", "red", "fox", "[SEP]"]
    assert names(tokenizer, "fox") == ["[CLS]", "[unused1]", "fox", "[SEP]"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_prefix_is_encoded_and_not_located(tmp_path: Path, kind: str) -> None:
    prefix = "query: " if kind == "unigram" else "the fox: "
    tokenizer = make_kind(kind, tmp_path, document_prefix=prefix)
    inside = [t for t in tokenizer.kept_tokens("red", tokenizer.documents(["red"])) if t.end]
    assert inside == [Token("red", 0, 3)]
    together = make_kind(kind, tmp_path / "plain").documents([prefix + "red"])[0]
    assert tokenizer.documents(["red"])[0].ids.tolist() == together.ids.tolist()


@pytest.mark.parametrize("attend", [False, True])
def test_query_expansion_fills_up_with_masks(tmp_path: Path, attend: bool) -> None:
    tokenizer = make(
        tmp_path, query_expansion=True, query_length=6, attend_to_expansion_tokens=attend
    )
    query = tokenizer.queries(["red fox"])[0]
    expected = ["[CLS]", "red", "fox", "[SEP]", "[MASK]", "[MASK]"]
    assert [t.text for t in tokenizer.kept_tokens("red fox", [query])] == expected
    assert query.attention.tolist() == [1, 1, 1, 1, attend, attend]
    assert len(tokenizer.queries(["fox " * 20])[0]) == 6
    assert len(tokenizer.documents(["red fox"])[0]) == 4


def test_skip_lists_are_for_their_own_side(tmp_path: Path) -> None:
    tokenizer = make(
        tmp_path, skip_tokens=["[CLS]", "fox"], skip_query_tokens=["[SEP]"], skip_punctuation=True
    )
    text = "red, fox!"
    assert names(tokenizer, text) == ["red", "[SEP]"]
    query = tokenizer.kept_tokens(text, tokenizer.queries([text]))
    assert [token.text for token in query] == ["[CLS]", "red", ",", "fox", "!"]
    assert len(tokenizer.documents([text])[0]) == 6  # skipped tokens are context all the same


def test_the_name_of_a_special_token_in_a_text_is_text(tmp_path: Path) -> None:
    assert surfaces(make(tmp_path), "the [MASK] [SEP]")[:3] == ["the", "[", "M"]


# -- what is no text ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000", "\x00"])
def test_an_empty_text_has_no_tokens(tmp_path: Path, text: str) -> None:
    tokenizer = make(tmp_path, query_expansion=True, document_prefix="the: ", query_prefix="fox ")
    assert len(tokenizer.queries([text])[0]) == 0
    assert len(tokenizer.documents([text])[0]) == 0
    assert [len(window) for window in tokenizer.document_windows([text])[0]] == [0]


def test_half_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    tokenizer = make(tmp_path)
    for tokenize in (tokenizer.queries, tokenizer.documents, tokenizer.document_windows):
        with pytest.raises(InputError, match=r"1 holds half a surrogate pair at character 2"):
            tokenize(["fine", "ab\ud800"])  # type: ignore[operator]


def test_what_is_no_string_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="query 1 is a int; pass a string"):
        make(tmp_path).queries(["fine", 3])  # type: ignore[list-item]


# -- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["", "the fox: "])
@pytest.mark.parametrize("overlap", [0, 1, 5, 32])
@pytest.mark.parametrize("n_words", [1, 4, 5, 40, 1000])
def test_windows_keep_each_token_once(
    tmp_path: Path, kind: str, prefix: str, overlap: int, n_words: int
) -> None:
    tokenizer = make_kind(kind, tmp_path, document_length=24, document_prefix=prefix)
    unlimited = make_kind(kind, tmp_path / "u", document_length=30_000, document_prefix=prefix)
    text = " ".join(["the red foxs, running over"] * n_words)
    windows = tokenizer.document_windows([text], overlap)[0]
    assert max(map(len, windows)) <= 24
    whole = unlimited.documents([text])
    assert tokenizer.kept_tokens(text, windows) == unlimited.kept_tokens(text, whole)
    n_special = 1 if kind == "unigram" else 2
    for window in windows:  # all have their special tokens and the prefix, kept or not
        assert window.ids[-1] == whole[0].ids[-1]
        assert (window.offsets[:, 1] == 0).sum() >= n_special + (3 if prefix else 0)


def test_a_token_is_kept_where_it_has_context(tmp_path: Path) -> None:
    tokenizer = make(tmp_path, document_length=34)
    windows = tokenizer.document_windows(["red " * 200], overlap=10)[0]
    for i, window in enumerate(windows):
        kept = np.flatnonzero(window.keep)
        if i > 0:
            assert kept[0] >= 1 + 5
        if i < len(windows) - 1:
            assert kept[-1] < 34 - 1 - 4


def test_eight_thousand_tokens_are_windowed(tmp_path: Path) -> None:
    windows = make(tmp_path).document_windows(["fox " * 8000])[0]
    assert sum(int(window.keep.sum()) for window in windows) == 8002
    assert len(windows) < 50


def test_a_negative_overlap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="-1 tokens"):
        make(tmp_path).document_windows(["fox"], -1)


# -- titles -------------------------------------------------------------------------------------


def test_spans_are_found_in_title_or_text(tmp_path: Path) -> None:
    tokenizer = make(tmp_path, title_separator=" | ")
    document = tokenizer.document_text(Document("1", "the fox", title="Red"))
    assert document.full == "Red | the fox"
    tokens = tokenizer.kept_tokens(document.full, tokenizer.documents([document.full]))
    found = {token.text: document.locate(token.start, token.end) for token in tokens if token.end}
    assert found["Red"] == ("title", 0, 3)
    assert found["fox"] == ("text", 4, 7)
    assert document.locate(2, 9) == ("text", 0, 3)


@pytest.mark.parametrize(
    ("title", "text", "full"), [("", "b", "b"), ("a", "", "a"), ("", "", ""), ("a", "b", "a b")]
)
def test_no_separator_without_two_sides(title: str, text: str, full: str) -> None:
    assert DocumentText(title, text, " ").full == full


def test_documents_may_be_mappings_and_nothing_else(tmp_path: Path) -> None:
    tokenizer = make(tmp_path)
    assert tokenizer.document_text({"text": "b", "title": "a"}).full == "a b"
    with pytest.raises(DocumentError, match="document 4 is a int"):
        tokenizer.document_text(3, 4)


# -- tokenizer files ----------------------------------------------------------------------------


def test_parallel_tokenising_gives_the_same(tmp_path: Path) -> None:
    texts = ["the red fox " * n for n in range(60)]
    one, many = make(tmp_path), make(tmp_path, parallel=True)
    for a, b in zip(one.documents(texts), many.documents(texts), strict=True):
        assert np.array_equal(a.ids, b.ids)
        assert np.array_equal(a.offsets, b.offsets)


def test_truncation_and_padding_of_the_file_do_not_matter(tmp_path: Path) -> None:
    inner = tiny_models.wordpiece()
    inner.enable_truncation(3)
    inner.enable_padding(length=50)
    assert surfaces(make(tmp_path, inner), "the red fox") == ["the", "red", "fox"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pad_token": "<pad>"}, "no token '<pad>'; correct \"pad_token\""),
        ({"query_expansion": True, "expansion_token": "<m>"}, 'correct "expansion_token"'),
        ({"query_prefix_token": "[Q]"}, 'correct "query_prefix_token"'),
        ({"skip_tokens": ["[X]"]}, 'correct "skip_tokens"'),
        ({"skip_query_tokens": ["[X]"]}, 'correct "skip_query_tokens"'),
        ({"query_length": 2}, '"query_length" is 2, of which special tokens and prefix take 2'),
        ({"document_length": 4, "document_prefix": "the fox "}, "take 4; raise it"),
    ],
)
def test_a_config_that_does_not_fit_the_vocabulary(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError) as caught:
        make(tmp_path, **config)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    tiny_models.make_encoder_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ModelError, match=r"tokenizer\.json is not a tokenizer"):
        Tokenizer(EncoderConfig.read(tmp_path), tmp_path)
