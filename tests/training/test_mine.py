"""Mining: BM25 against its published figure, filters, sampling, resumption."""

from collections import Counter

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import R, nDCG

from colxtr import Index
from colxtr.errors import InputError
from colxtr.lexical import Bm25, Candidate
from colxtr.training.filters import CandidateFilter
from colxtr.training.mine import MineSettings, mine
from colxtr.training.miner import Miner
from colxtr.training.parts import in_parts
from colxtr.training.proposals import by_words
from colxtr.training.sampling import sampled
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.tuple_files import Collection, mix, read_collection, read_tuples
from tiny_models import make_encoder_folder

DOCUMENTS = {
    "a": "the red fox runs over the hill",
    "a2": "The red  fox runs over the HILL",  # the same text
    "a3": "the red fox runs over the hill today",  # nearly
    "b": "a fox sleeps",
    "b2": "a fox sleeps",
    "c": "red wine is no fox",
    "d": "nothing at all",
}
SET = TrainingSet(
    {"q": "red fox", "same": "Red fox", "other": "fox"},
    DOCUMENTS,
    (),
    {"q": frozenset({"a"}), "same": frozenset({"c"}), "other": frozenset({"b"})},
)


def candidates(*ids):
    return [Candidate(each, float(-i)) for i, each in enumerate(ids)]


def test_bm25_on_scifact_has_the_known_figures(data_folder):
    """nDCG@10 0.6945 and R@100 0.9264 of the train split, in the table beside the collections."""
    texts = read_collection(Collection(str(data_folder / "scifact")))
    queries = [each for each in texts.queries if each in texts.positives]
    found = Bm25(texts.documents).search([texts.queries[each] for each in queries], 100)
    run = {q: {c.id: c.score for c in some} for q, some in zip(queries, found, strict=True)}
    qrels = {q: dict.fromkeys(ids, 1) for q, ids in texts.positives.items()}
    figures = ir_measures.calc_aggregate([nDCG @ 10, R @ 100], qrels, run)
    assert figures[nDCG @ 10] == pytest.approx(0.6945, abs=1e-3)
    assert figures[R @ 100] == pytest.approx(0.9264, abs=1e-3)


def test_bm25_finds_only_what_shares_a_word():
    found = Bm25(DOCUMENTS).search(["red foxes", "zebra", ""], 10)
    assert {each.id for each in found[0]} == {"a", "a2", "a3", "b", "b2", "c"}
    assert found[1:] == [[], []]


def test_languages_of_bm25():
    assert [
        c.id for c in Bm25({"x": "Häuser", "y": "Baum"}, language="german").search(["Haus"], 5)[0]
    ] == ["x"]
    bigrams = Bm25({"x": "東京都に住む", "y": "大阪"}, language="bigrams")
    assert [c.id for c in bigrams.search(["東京"], 5)[0]] == ["x"]
    assert Bm25({"x": "foxes"}, language="none").search(["fox"], 5) == [[]]
    with pytest.raises(InputError, match="language 'klingon' is unknown"):
        Bm25(DOCUMENTS, language="klingon")
    with pytest.raises(InputError, match="no documents"):
        Bm25({})


def mixed():
    """Two collections; the question of the first is answered in both."""
    one = TrainingSet(
        {"q:1": "red fox"},
        {"x:1": "the red fox", "x:2": "a fox sleeps", "y:3": "red wine"},
        (),
        {"q:1": frozenset({"x:1"})},
    )
    other = TrainingSet(
        {"q": "wine"},
        {"a": "red fox again", "b": "wine", "c": "wine is red"},
        (),
        {"q": frozenset({"b"})},
    )
    return mix({"one": one, "other": other})


def test_bm25_searches_each_collection_alone(tmp_path):
    texts = mixed()
    assert texts.collection_of("one:x:1") == "one"
    propose = by_words(texts, MineSettings(language="none"), progress=False)
    found = propose(["other:q", "one:q:1"], 10)
    assert [{each.id for each in some} for some in found] == [
        {"other:b", "other:c"},
        {"one:x:1", "one:x:2", "one:y:3"},
    ]
    report = mine(texts, tmp_path / "t.jsonl", MineSettings(language="none"))
    assert report.dropped["other_collection"] == 0
    tuples = [each for _, each in read_tuples(tmp_path / "t.jsonl")]
    for each in tuples:
        assert len({texts.collection_of(i) for i in (each.query_id, *each.document_ids)}) == 1
    assert len(tuples) == 2


def test_colons_in_the_ids_of_one_collection_are_no_names():
    one = TrainingSet(
        {"q:1": "fox"}, {"x:1": "a fox", "y:2": "red fox"}, (), {"q:1": frozenset({"x:1"})}
    )
    assert one.collection_of("x:1") == ""
    (found,) = by_words(one, MineSettings(language="none"), progress=False)(["q:1"], 10)
    assert {each.id for each in found} == {"x:1", "y:2"}


def test_candidates_of_another_collection_are_dropped():
    texts = mixed()
    dropping = CandidateFilter(texts, None)
    kept = dropping.kept("one:q:1", candidates("other:a", "one:x:1", "one:x:2"))
    assert [each.id for each in kept] == ["one:x:2"]
    assert dropping.counts == {"other_collection": 1, "relevant": 1}


def test_filters_drop_what_may_be_relevant():
    each = CandidateFilter(SET, near_duplicate=0.8)
    kept = each.kept("q", candidates("a", "a2", "a3", "c", "b", "b2", "d"))
    assert [c.id for c in kept] == ["b", "d"]
    assert each.counts == {
        "relevant": 2,  # a; and c, of the query with the same text
        "same_text": 1,
        "near_duplicate": 1,
        "repeated_text": 1,
    }
    far = CandidateFilter(SET, near_duplicate=None)
    assert [c.id for c in far.kept("q", candidates("a3"))] == ["a3"]


def test_a_tuple_for_each_relevant_document_and_what_is_counted():
    texts = TrainingSet(SET.queries, DOCUMENTS, (), {"q": frozenset({"a", "c"})})
    miner = Miner(texts, MineSettings(skip=1, negatives=5, near_duplicate=None))
    found = list(miner.tuples("q", candidates("b", "a", "a3", "d")))
    assert found == [NWayTuple("q", ("a", "a3", "d")), NWayTuple("q", ("c", "a3", "d"))]
    assert miner.counts["skipped"] == 1
    assert (miner.counts["judged"], miner.counts["found_at_10"]) == (2, 1)
    few = Miner(texts, MineSettings(negatives=5, min_negatives=3, positives=1))
    assert list(few.tuples("q", candidates("b", "d"))) == []
    assert few.counts["too_few"] == 1


@given(st.integers(0, 60), st.integers(1, 40), st.sampled_from(["strata", "uniform", "top"]))
def test_sampling_keeps_number_and_order(n_ranked, n, way):
    ranked = list(range(n_ranked))
    chosen = sampled(ranked, n, way, "seed")
    assert len(chosen) == len(set(chosen)) == min(n, n_ranked)
    assert chosen == sorted(chosen)
    assert chosen == sampled(ranked, n, way, "seed")
    if way == "strata" and n_ranked > n:
        assert all(i * n_ranked // n <= c < (i + 1) * n_ranked // n for i, c in enumerate(chosen))


def test_sampling_depends_on_the_seed():
    assert len({tuple(sampled(range(100), 5, "uniform", str(seed))) for seed in range(9)}) == 9


def test_mining_a_file_and_its_report(tmp_path):
    report = mine(SET, tmp_path / "t.jsonl", MineSettings(near_duplicate=None))
    found = [example for _, example in read_tuples(tmp_path / "t.jsonl")]
    assert [example.query_id for example in found] == ["q", "same", "other"]
    assert found[0].document_ids[0] == "a"
    assert set(found[0].document_ids[1:]) <= {"a3", "b", "b2"}
    assert (report.queries, report.tuples, report.found_at_10) == (3, 3, 1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.jsonl"]
    with pytest.raises(InputError, match="no query has a relevant document"):
        mine(TrainingSet(SET.queries, DOCUMENTS, (), {}), tmp_path / "no.jsonl")


def test_mining_scifact(data_folder, tmp_path):
    texts = read_collection(Collection(str(data_folder / "scifact")))
    report = mine(texts, tmp_path / "t.jsonl", MineSettings(negatives=7, positives=5))
    assert (report.queries, report.tuples + report.too_few) == (809, 919)
    assert report.dropped["relevant"] > 800
    for _, example in read_tuples(tmp_path / "t.jsonl"):
        assert len(example.document_ids) == 8
        assert not set(example.document_ids[1:]) & texts.positives[example.query_id]


def test_mining_from_an_index(tmp_path):
    encoder = make_encoder_folder(tmp_path / "tiny")
    with Index.create(tmp_path / "i", encoder=encoder) as index:
        index.add([{"id": each, "text": text} for each, text in DOCUMENTS.items()])
        report = mine(SET, tmp_path / "t.jsonl", index=index)
        assert report.candidates == 3 * len(DOCUMENTS)
        few = TrainingSet(SET.queries, {"a": "x", "b": "y", "c": "z"}, (), SET.positives)
        with pytest.raises(InputError, match="which the collection has not"):
            mine(few, tmp_path / "no.jsonl", index=index)


def test_parts_go_on_after_an_interruption(tmp_path):
    output, done = tmp_path / "out", []

    def work(fails_at=None):
        def run(items):
            if fails_at in items:
                raise KeyboardInterrupt
            done.extend(items)
            return [f"{item}\n" for item in items], {"n": len(items)}

        return run

    def call(run, key=1):
        return in_parts(output, range(10), run, key={"k": key}, size=3, description="x")

    with pytest.raises(KeyboardInterrupt):
        call(work(fails_at=7))
    assert (done, output.exists()) == ([0, 1, 2, 3, 4, 5], False)
    assert call(work()) == Counter(n=10)
    assert done == list(range(10))
    assert output.read_text().split() == [str(i) for i in range(10)]


def test_parts_of_other_settings_are_not_used(tmp_path, capsys):
    output = tmp_path / "out"

    def fail(items):
        if 5 in items:
            raise KeyboardInterrupt
        return ["old\n"], {}

    with pytest.raises(KeyboardInterrupt):
        in_parts(output, range(6), fail, key={"a": 1, "b": 2}, size=5, description="x")

    def succeed(items):
        return ["new\n"], {}

    in_parts(output, range(6), succeed, key={"a": 1, "b": 3}, size=5, description="x")
    assert output.read_text() == "new\nnew\n"
    assert "begun with other settings (b); beginning again" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings",
    [{"depth": 0}, {"skip": 200}, {"negatives": 0}, {"min_negatives": 99}, {"sampling": "best"},
     {"near_duplicate": 2.0}],
)  # fmt: skip
def test_impossible_settings(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        MineSettings(**settings)
