"""The demonstration's documents: what the standard library says about itself."""

import subprocess
import sys

import pytest

from colxtr.demo import MAX_CHARACTERS, QUESTIONS, stdlib_documents


@pytest.fixture(scope="module")
def documents():
    return {document.id: document for document in stdlib_documents()}


@pytest.mark.parametrize(
    ("identifier", "title"),
    [
        ("datetime.datetime.strptime", "datetime.datetime.strptime"),
        ("subprocess.run", "subprocess.run(*popenargs, input=None, capture_output=False,"),
        ("sorted", "sorted(iterable, /, *, key=None, reverse=False)"),
        ("str.strip", "str.strip(chars=None, /)"),
        ("collections.Counter", "collections.Counter(iterable=None, /, **kwds)"),
        ("collections.deque", "collections.deque"),
        ("gzip.open", "gzip.open(filename, mode='rb',"),
        ("os.path.join", "os.path.join(a, *p)"),
        ("gc.get_threshold", "gc.get_threshold()"),
        ("tempfile.TemporaryDirectory", "tempfile.TemporaryDirectory(suffix=None, prefix=None,"),
    ],
)
def test_what_people_look_for_is_there(documents, identifier, title):
    assert documents[identifier].title.startswith(title)
    assert len(documents[identifier].text.split()) > 3


def test_several_thousand_passages_of_a_bounded_size(documents):
    assert 4000 < len(documents) < 10_000
    size = sum(len(d.text) + len(d.title) for d in documents.values())
    assert 1_000_000 < size <= MAX_CHARACTERS
    assert max(len(d.text.split()) for d in documents.values()) <= 110


def test_ids_and_texts_are_unique(documents):
    assert len({d.id for d in stdlib_documents()}) == len(list(stdlib_documents()))
    assert len({d.text for d in documents.values()}) > 0.99 * len(documents)


def test_nothing_private(documents):
    assert not [name for name in documents if name.startswith("_") or "._" in name]


def test_every_run_gives_the_same_and_imports_little():
    program = (
        "import sys, hashlib; from colxtr.demo import stdlib_documents\n"
        "print(hashlib.sha256(repr(list(stdlib_documents())).encode()).hexdigest())\n"
        "print([m for m in ('antigravity', 'this', 'tkinter', 'idlelib') if m in sys.modules])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
    assert runs.pop().endswith("\n[]\n")


def test_a_smaller_demonstration_is_the_beginning_of_the_larger():
    small = list(stdlib_documents(50_000))
    assert 50 < len(small) < 500
    large = stdlib_documents()
    assert small == [next(large) for _ in small]


def test_questions_are_questions():
    assert len(set(QUESTIONS)) == len(QUESTIONS) >= 5
