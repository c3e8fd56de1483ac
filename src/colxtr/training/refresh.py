"""Refreshing: the half-trained model looks for harder negatives (ColBERTv2, section 3.2).

It indexes the collection with our engine, searches the training queries, and what it finds takes
the place of a share of the old negatives; the teacher scores the new ones. Knows nothing of the
loss that follows.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from colxtr.errors import InputError
from colxtr.index import Index
from colxtr.lexical import Candidate
from colxtr.progress import Meter, progress_bar
from colxtr.storage.files import write_atomically
from colxtr.storage.manifest import newest_generation
from colxtr.training.checkpoint_folders import begin
from colxtr.training.mine import MineReport, MineSettings, judged_queries, mine_with
from colxtr.training.proposals import Propose, checking
from colxtr.training.sampling import sampled
from colxtr.training.score import ScoreReport, known_scores, score
from colxtr.training.selection import Selection
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.teachers import Teacher
from colxtr.training.token_encoders import Embeddings, TokenEncoder
from colxtr.training.tuple_files.collections import read_tuples
from colxtr.training.tuple_files.own import write_own

_ENCODED = 256  # documents encoded together


@dataclass(frozen=True, slots=True)
class RefreshSettings:
    """How tuples are refreshed.

    Attributes:
        mine: How negatives are drawn from what the model finds; `negatives` counts for tuples that
            there were none of before, the others keep their number.
        new_share: Share of a tuple's negatives that come from the model; the rest are old ones,
            drawn at random. 1 replaces all.
        n_bits: Of the index.
        quality: Of the search, from 0 to 1; see `Index.search`.
        seed: Of the index and the drawing.

    Raises:
        InputError: A value is out of range.
    """

    mine: MineSettings = field(default_factory=MineSettings)
    new_share: float = 0.5
    n_bits: int = 2
    quality: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.new_share <= 1:
            raise InputError(f"new_share is {self.new_share}; it must be above 0, and at most 1")


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """How much a refresh changed.

    Attributes:
        mined: What the model found and what was dropped of it; `found_at_10` and `found_at_100`
            tell how well it ranks the relevant documents of the training queries.
        tuples: Tuples written.
        negatives: Negatives in them.
        new: Share of these that the tuple of the same query and relevant document had not before.
        overlap: Share of the old negatives that are among the model's candidates again.
        scored: What scoring came to; None without a teacher.
    """

    mined: MineReport
    tuples: int
    negatives: int
    new: float
    overlap: float
    scored: ScoreReport | None


def refresh(
    model: TokenEncoder,
    training_set: TrainingSet,
    output: str | Path,
    settings: RefreshSettings | None = None,
    *,
    teacher: Teacher | None = None,
    selection: Selection | None = None,
    key: object = None,
    progress: bool = False,
) -> RefreshReport:
    """Refresh the tuples of a set and write them, as `tuple_files.own` has them.

    After an interruption the same call goes on: with the documents that are not indexed yet, the
    queries that were not searched, the tuples that were not scored (`<output>.work/`).

    Args:
        model: The half-trained model; from torch or exported.
        training_set: Its texts, positives, and the tuples to refresh.
        output: The file of tuples; an existing one is replaced at the end.
        settings: How.
        teacher: Scores what has no score yet; scores that the old tuples carry are kept, so it
            must be the teacher that gave them. None: the tuples lose their scores.
        selection: Which tuples and negatives are kept when they are scored.
        key: Anything in JSON that tells which model, set and teacher these are: work begun with
            another is thrown away.
        progress: Show progress bars.

    Raises:
        InputError: There is nothing to refresh.
        StorageError: A file cannot be written.
    """
    settings, output = settings or RefreshSettings(), Path(output)
    judged_queries(training_set)
    work = begin(output, {"settings": repr(settings), "input": key})
    mined_path, mixed_path = work / "mined.jsonl", work / "mixed.jsonl"
    propose = _searching(model, training_set, work / "index", settings, progress)
    counts: Counter[str] = Counter()
    mined = _mined_before(mined_path)
    if mined is None:
        mined = mine_with(
            training_set,
            mined_path,
            replace(settings.mine, negatives=settings.mine.depth, sampling="top"),  # all of them
            propose,
            key={"refresh": key},
            progress=progress,
        )
        write_atomically(mined_path.with_suffix(".json"), json.dumps(asdict(mined)).encode())
    fresh = [example for _, example in read_tuples(mined_path)] if mined.tuples else []
    mixed = list(mix_in(training_set.tuples, fresh, settings, counts))
    scored = None
    if teacher is None:
        write_own(output, mixed)
    else:
        write_own(mixed_path, mixed)
        scored = score(
            replace(training_set, tuples=mixed),
            teacher,
            output,
            selection=selection,
            known=known_scores(training_set.tuples),
            key={"refresh": key},
            progress=progress,
        )
    shutil.rmtree(work)
    return RefreshReport(
        mined=mined,
        tuples=len(mixed) if scored is None else scored.tuples,
        negatives=counts["negatives"] if scored is None else scored.negatives,
        new=counts["new"] / max(1, counts["negatives"]),
        overlap=counts["again"] / max(1, counts["old"]),
        scored=scored,
    )


def _mined_before(path: Path) -> MineReport | None:
    """The report of a search that an interrupted call had finished."""
    report = path.with_suffix(".json")
    return MineReport(**json.loads(report.read_text())) if report.is_file() else None


def mix_in(
    old: Sequence[NWayTuple],
    fresh: Sequence[NWayTuple],
    settings: RefreshSettings,
    counts: Counter[str],
) -> Iterator[NWayTuple]:
    """Put new negatives in the place of a share of the old ones; tuples keep their number of them.

    Args:
        old: The tuples there were.
        fresh: All that the model found and the filters left, hardest first, led by relevant
            documents likewise.
        settings: The share, and the seed.
        counts: Counts up `negatives`, `new` (not in the old tuple), `old`, and `again` (old
            negatives that the model found too).

    Yields:
        A tuple for each query and relevant document of either.
    """
    before = {(t.query_id, t.document_ids[0]): t.document_ids[1:] for t in old}
    after = {(t.query_id, t.document_ids[0]): t.document_ids[1:] for t in fresh}
    for pair in {**before, **after}:
        had, found = before.get(pair, ()), after.get(pair, ())
        counts["old"] += len(had)
        counts["again"] += len(set(had) & set(found))
        negatives = _mixed(had, found, f"{settings.seed}:{pair}", settings)
        counts["negatives"] += len(negatives)
        counts["new"] += len(set(negatives) - set(had))
        yield NWayTuple(pair[0], (pair[1], *negatives))


def _mixed(
    old: Sequence[str], found: Sequence[str], seed: str, settings: RefreshSettings
) -> list[str]:
    """New ones first; where either side has too few, the other fills up."""
    total = len(old) or settings.mine.negatives
    generator = random.Random(seed)
    n_new = min(len(found), max(1, round(total * settings.new_share)))
    new = sampled(found, n_new, settings.mine.sampling, seed)
    rest = [each for each in old if each not in set(new)]
    kept = generator.sample(rest, min(len(rest), total - len(new)))
    taken = {*new, *kept}
    more = [each for each in found if each not in taken]
    return [*new, *kept, *more[: total - len(new) - len(kept)]]


def _searching(
    model: TokenEncoder,
    training_set: TrainingSet,
    folder: Path,
    settings: RefreshSettings,
    progress: bool,
) -> Propose:
    """Index the documents, as far as that is not done, when the first query is searched."""
    opened: list[Index] = []

    def propose(query_ids: Sequence[str], depth: int) -> list[list[Candidate]]:
        if not opened:
            index_documents(model, training_set, folder, settings, progress=progress)
            opened.append(Index.open(folder))
        found = []
        for query in model.encode_queries([training_set.queries[each] for each in query_ids]):
            hits = opened[0].search_embeddings(
                query, depth, quality=settings.quality, load_text=False
            )
            found.append([Candidate(hit.id, hit.score) for hit in hits])
        return found

    return checking(propose, training_set)


def index_documents(
    model: TokenEncoder,
    training_set: TrainingSet,
    folder: Path,
    settings: RefreshSettings,
    *,
    progress: bool = False,
) -> None:
    """Index all documents of a set, or those that an interrupted call left out.

    Args:
        model: Encodes them.
        training_set: Its documents.
        folder: The folder of the index.
        settings: `n_bits` and `seed`.
        progress: Show a progress bar.
    """
    if newest_generation(folder) is None:
        index = Index.create(folder, dim=model.dim, n_bits=settings.n_bits, seed=settings.seed)
    else:
        index = Index.open(folder, read_only=False)
    with index:
        missing = [each for each in training_set.documents if each not in index]
        with progress_bar("Encoding", len(missing), "documents", progress) as advance:
            embeddings = _encoded(model, training_set, missing, advance)
            index.add_embeddings(missing, embeddings, total=len(missing))


def _encoded(
    model: TokenEncoder, training_set: TrainingSet, ids: Sequence[str], advance: Meter
) -> Iterator[Embeddings]:
    """The embeddings of some documents, in order, a batch in memory at a time."""
    for start in range(0, len(ids), _ENCODED):
        some = ids[start : start + _ENCODED]
        yield from model.encode_documents([training_set.documents[each] for each in some])
        advance(len(some))
