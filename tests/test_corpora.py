"""Reading documents: every kind of file, folders, standard input, and what can be wrong."""

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from colxtr.corpora import ReadReport, count_documents, read_documents, streams, texts
from colxtr.corpora.ids import IdSet
from colxtr.errors import CorpusError, MissingDependencyError
from colxtr.passages import PassageSettings


def read(*sources, **options):
    return list(read_documents(sources, **options))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_jsonl(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        '{"_id": "x", "text": "one", "title": "T", "metadata": {"year": 2020}, "url": "u"}\n\n'
        '{"docid": 7, "contents": "two", "title": null}\r\n'
        '{"body": "three"}',
    )
    first, second, third = read(path)
    assert (first.id, first.text, first.title) == ("x", "one", "T")
    assert first.metadata == {"year": 2020, "url": "u"}
    assert (second.id, second.text, second.title, second.metadata) == ("7", "two", "", {})
    assert third.id == f"{path.as_posix()}#4"


def test_gzip_is_seen_by_its_bytes(tmp_path):
    data = gzip.compress(b'{"id": "x", "text": "one"}\n')
    assert [d.id for d in read(write(tmp_path / "a.jsonl.gz", data))] == ["x"]
    assert [d.id for d in read(write(tmp_path / "b.jsonl", data))] == ["x"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('1\tsome "text\n2\tmore\n', [("1", 'some "text', ""), ("2", "more", "")]),
        ("1\ttext\ttitle\n", [("1", "text", "title")]),
        ("1\ttext\r\n\r\n2\t\n", [("1", "text", ""), ("2", "", "")]),
        ('id\ttext\ttitle\n7\t"He said ""no"""\tSpeech\n', [("7", 'He said "no"', "Speech")]),
        ("Title\tID\tText\nT\t7\tx\n", [("7", "x", "T")]),
    ],
)
def test_tsv(tmp_path, content, expected):
    documents = read(write(tmp_path / "a.tsv", content))
    assert [(d.id, d.text, d.title) for d in documents] == expected


@pytest.mark.parametrize("separator", [",", ";"])
def test_csv(tmp_path, separator):
    content = 'id,text,title,year,zip,share\na,"two\nlines",T,2020,00123,0.5\nb,one,,,,\n'
    first, second = read(write(tmp_path / "a.csv", content.replace(",", separator)))
    assert (first.id, first.text, first.title) == ("a", "two\nlines", "T")
    assert first.metadata == {"year": 2020, "zip": "00123", "share": 0.5}
    assert (second.id, second.text, second.metadata) == ("b", "one", {})


def test_byte_order_mark_is_no_part_of_the_header(tmp_path):
    (document,) = read(write(tmp_path / "a.csv", b"\xef\xbb\xbfid,text\n1,x\n"))
    assert document.id == "1"


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(
        {
            "_id": [1, 2],
            "text": ["one", "two"],
            "year": [2020, None],
            "share": [float("nan"), 0.5],
            "embedding": [[0.1, 0.2], [0.3, 0.4]],
            "day": pyarrow.array([0, 1], pyarrow.date32()),
            "tags": [["a"], ["b", "c"]],
        }
    )
    path = tmp_path / "a.parquet"
    parquet.write_table(table, path)
    first, second = read(path)
    assert (first.id, first.text) == ("1", "one")
    assert first.metadata == {"year": 2020, "share": None, "day": "1970-01-01", "tags": ["a"]}
    assert second.metadata == {"share": 0.5, "day": "1970-01-02", "tags": ["b", "c"]}
    assert count_documents([path]) == 2


def test_damaged_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(CorpusError, match=r"a\.parquet cannot be read as Parquet"):
        read(write(tmp_path / "a.parquet", "no table"))


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'colxtr\[parquet\]'"):
        read(write(tmp_path / "a.parquet", "PAR1"))


def test_text_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "\n\n".join(f"Paragraph {i} has a few words, and an end." for i in range(12)) + "\n"
    write(tmp_path / "notes" / "a.txt", text)
    documents = read("notes/a.txt", passages=PassageSettings(30, 9))
    assert [d.id for d in documents] == [f"notes/a.txt#{i + 1}" for i in range(len(documents))]
    for document in documents:
        meta = document.metadata
        assert meta["path"] == "notes/a.txt"
        assert text[meta["start"] : meta["end"]] == document.text
        assert text.splitlines()[meta["line"] - 1].startswith(document.text[:10])


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        ("a.md", "Intro\n\n# The *title* #\n\ntext", "The *title*"),
        ("a.md", "no heading", ""),
        ("a.rst", "====\nName\n====\n\ntext", "Name"),
        ("a.txt", "# no markdown", ""),
        ("src/b/a.py", "x = 1", "src/b/a.py"),
        ("a.htm", "<title> A\n b </title><p>text", "A b"),
        ("a.html", "<h1>Head</h1><p>text", "Head"),
    ],
)
def test_titles(tmp_path, name, content, title):
    write(tmp_path / name, content)
    (document,) = read(tmp_path / Path(name).parts[0])
    assert document.title == title


def test_folder(tmp_path):
    write(tmp_path / "b.txt", "bee")
    write(tmp_path / "a" / "z.md", "zed")
    write(tmp_path / "a" / "data.jsonl", '{"id": "x", "text": "record"}')
    write(tmp_path / "LICENSE", "free")
    write(tmp_path / ".git" / "config", "hidden")
    write(tmp_path / "image.png", b"\x89PNG\0\0")
    write(tmp_path / "latin.txt", "é".encode("latin1"))
    write(tmp_path / "empty.txt", "")
    write(tmp_path / "numbers.csv", "a,b\n1,2\n")
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    (tmp_path / "loop").symlink_to(tmp_path)
    report = ReadReport()
    documents = read(tmp_path, report=report)
    name = tmp_path.name
    assert [d.id for d in documents] == [
        f"{name}/LICENSE#1",
        "x",
        f"{name}/a/z.md#1",
        f"{name}/b.txt#1",
    ]
    assert (report.files, report.documents) == (4, 4)
    assert report.skipped == {
        "hidden": 1,
        "not text": 1,
        "not UTF-8": 1,
        "empty": 1,
        "without a text column": 1,
        "symbolic links": 2,
    }
    assert report.skipped_text().startswith("1 empty, 1 hidden, ")


def test_named_link_is_followed(tmp_path):
    write(tmp_path / "real" / "a.txt", "text")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [d.id for d in read(tmp_path / "link")] == ["link/a.txt#1"]


def test_beir_folder_gives_its_corpus_only(tmp_path):
    write(tmp_path / "corpus.jsonl.gz", gzip.compress(b'{"_id": "d", "text": "t"}'))
    write(tmp_path / "queries.jsonl", '{"_id": "q", "text": "t"}')
    write(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq\td\t1\n")
    assert [d.id for d in read(tmp_path)] == ["d"]


def test_a_beir_folder_with_its_corpus_elsewhere_is_not_its_queries(tmp_path):
    real = write(tmp_path / "real.jsonl", '{"_id": "d", "text": "t"}')
    write(tmp_path / "beir" / "queries.jsonl", '{"_id": "q", "text": "t"}')
    (tmp_path / "beir" / "corpus.jsonl").symlink_to(real)
    with pytest.raises(CorpusError, match="skipped: 1 symbolic links"):
        read(tmp_path / "beir")
    assert [d.id for d in read(tmp_path / "beir" / "corpus.jsonl")] == ["d"]


GOOD = '{"id": "g", "text": "good"}\n'
NAMED_ERRORS = [
    ("a.jsonl", GOOD + '{"id": ', "line 2: not valid JSON"),
    ("a.jsonl", GOOD + "[1]", "line 2: a JSON list, not an object"),
    ("a.json", '[{"id": "a", "text": "b"}]', r"line 1: a JSON list.*jq -c"),
    ("a.jsonl", GOOD + '{"id": "b"}', "line 2: no text; its fields are id"),
    ("a.jsonl", '{"id": "b"}', "line 1: no text"),
    ("a.jsonl", '{"id": "b", "text": null}', 'line 1: "text" is null'),
    ("a.jsonl", GOOD + '{"id": "b", "text": 5}', 'line 2: "text" is a int'),
    ("a.jsonl", GOOD + '{"id": 1.5, "text": "t"}', 'line 2: "id" is a float'),
    ("a.jsonl", GOOD + '{"id": "", "text": "t"}', "line 2: the id .* 0 bytes"),
    ("a.jsonl", GOOD + '{"id": "b", "text": "\\ud800"}', "line 2: .* not valid Unicode"),
    ("a.jsonl", GOOD + '{"id": "b", "text": "t", "x": NaN}', "line 2: .*NaN"),
    ("a.jsonl", GOOD + '{"id": "b", "text": ' + "[" * 100_000, "line 2: JSON nested too deeply"),
    ("a.jsonl", GOOD + '{"id": ' + "9" * 5000 + "}", "line 2: not valid JSON"),
    ("a.jsonl", GOOD + "\n" + GOOD, "line 3: the id 'g' comes a second time"),
    ("a.jsonl", GOOD.encode() + b'{"text": "\xff"}', "line 2: not UTF-8 .*0xff.*iconv"),
    ("a.jsonl", GOOD.encode("utf-16"), "line 1: not UTF-8 .*iconv -f utf-16"),
    ("a.jsonl", "", "is empty"),
    ("a.jsonl", "\n \n", "is empty"),
    ("a.jsonl.gz", gzip.compress(GOOD.encode())[:-9], "truncated gzip"),
    ("a.jsonl.gz", b"\x1f\x8bnonsense", "damaged gzip"),
    ("a.jsonl.gz", b"", "is empty"),
    ("a.tsv", "only text\n", "line 1: 1 fields; expected id<TAB>text"),
    ("a.tsv", "1\ta\n2\n", "line 2: 1 fields"),
    ("a.tsv", "1\ta\n2\tb\tc\td\n", "line 2: 4 fields"),
    ("a.tsv", "1\ta\n1\tb\n", "line 2: the id '1' comes a second time"),
    ("a.csv", "1,2\n3,4\n", "line 1: no text column"),
    ("a.csv", "id,text\n1,a\n2,b,c\n", "line 3: 3 fields"),
    ("a.csv", 'id,text\n1,"a\n', "line 2: not valid CSV"),
    ("a.csv", "", "is empty"),
    ("a.txt", "", "is empty"),
    ("a.txt", " \n", "is empty"),
    ("a.txt", b"one\ntwo \xe9\n", "line 2: not UTF-8 .*0xe9"),
    ("a.pdf", b"%PDF\0", "not a text file .*pdftotext"),
    ("a.bin.gz", gzip.compress(b"\0" * 100_000), "not a text file"),
]


@pytest.mark.parametrize(("name", "content", "message"), NAMED_ERRORS)
def test_bad_files(tmp_path, name, content, message):
    with pytest.raises(CorpusError, match=f"(?s){name}.*{message}"):
        read(write(tmp_path / name, content))


def test_what_came_before_an_error_stays(tmp_path):
    documents = read_documents([write(tmp_path / "a.jsonl", GOOD + "broken")])
    assert next(documents).id == "g"
    with pytest.raises(CorpusError):
        next(documents)


@pytest.mark.parametrize("bomb", [b" ", b"x"])
def test_limits_hold_for_what_is_unzipped(tmp_path, monkeypatch, bomb):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 10_000)
    monkeypatch.setattr(texts, "MAX_TEXT_BYTES", 10_000)
    data = gzip.compress(bomb * 10_001)
    with pytest.raises(CorpusError, match="line 1: longer than"):
        read(write(tmp_path / "a.jsonl.gz", data))
    with pytest.raises(CorpusError, match="is longer than"):
        read(write(tmp_path / "a.txt.gz", data))


def test_missing_and_unreadable_sources(tmp_path):
    with pytest.raises(CorpusError, match="nowhere does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match=r"no documents found \(skipped: 1 hidden"):
        write(tmp_path / ".hidden", "x")
        read(tmp_path)
    with pytest.raises(CorpusError, match="no source was named"):
        read()
    with pytest.raises(CorpusError, match="null byte"):
        read("a\0b")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_no_permission(tmp_path):
    path = write(tmp_path / "a.txt", "x")
    path.chmod(0)
    with pytest.raises(CorpusError, match="permission denied"):
        read(path)


def test_ids_are_unique_over_all_sources(tmp_path):
    write(tmp_path / "a" / "x.txt", "one")
    write(tmp_path / "b" / "x.txt", "two")
    write(tmp_path / "more" / "b" / "x.txt", "three")
    a, b = tmp_path / "a", tmp_path / "b"
    assert [d.id for d in read(a, b)] == ["a/x.txt#1", "b/x.txt#1"]
    with pytest.raises(CorpusError, match=r"x\.txt, passage 1: the id 'b/x.txt#1' comes a second"):
        read(b, tmp_path / "more" / "b")


@pytest.mark.parametrize(
    ("given", "identifier"), [(".", "a/x.txt#1"), ("a", "a/x.txt#1"), ("a/", "a/x.txt#1")]
)
def test_ids_of_relative_folders(tmp_path, monkeypatch, given, identifier):
    write(tmp_path / "a" / "x.txt", "one")
    monkeypatch.chdir(tmp_path)
    assert [d.id for d in read(given)] == [identifier]


def from_stdin(data):
    program = (
        "import json; from colxtr.corpora import read_documents\n"
        "for d in read_documents(['-']): print(json.dumps([d.id, d.text]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], input=data, capture_output=True, check=False
    )
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr.decode()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'\n {"id": "a", "text": "b"}\n', [["a", "b"]]),
        (b"one\n\n two \n", [["stdin#1", "one"], ["stdin#3", "two"]]),
        (gzip.compress(b"zipped"), [["stdin#1", "zipped"]]),
    ],
)
def test_standard_input(data, expected):
    assert from_stdin(data) == (expected, "")


def test_standard_input_with_nothing_in_it():
    assert "standard input is empty" in from_stdin(b"")[1]


def test_standard_input_only_once():
    with pytest.raises(CorpusError, match="named twice"):
        count_documents(["-", "-"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read_like_standard_input(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with subprocess.Popen(["/bin/sh", "-c", f"echo words > '{path}'"]):
        assert [d.text for d in read(path)] == ["words"]


def test_reading_is_lazy(monkeypatch):
    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            buffer[:2] = b"a\n"
            return 2

    lines = streams.read_lines(io.BufferedReader(Endless(), 16), "endless")
    assert [next(lines) for _ in range(2)] == [(1, "a\n"), (2, "a\n")]


def test_counts(tmp_path):
    path = write(tmp_path / "a.jsonl", GOOD * 70 + "\n")
    assert count_documents(path) == 70
    assert count_documents([path, write(tmp_path / "b.txt", "word " * 3000)]) in range(85, 105)
    assert count_documents("-") is None
    with pytest.raises(CorpusError, match="does not exist"):
        count_documents("nowhere")


def test_count_of_a_large_file_is_an_estimate(tmp_path):
    line = json.dumps({"id": "1", "text": "x" * 400}) + "\n"
    path = write(tmp_path / "a.jsonl", line * 20_000)
    assert count_documents(path) == pytest.approx(20_000, rel=0.01)


def test_id_set_is_a_set():
    ids = IdSet()
    assert all(ids.add(f"document {i}") for i in range(5000))
    assert not any(ids.add(f"document {i}") for i in range(5000))
    assert len(ids) == 5000


@pytest.mark.parametrize(("name", "count"), [("scifact", 5183), ("vaswani", 11429)])
def test_real_collections(name, count, data_folder):
    documents = read(data_folder / name)
    assert len(documents) == count
    assert sum(len(d.text) > 0 for d in documents) > 0.99 * count
    assert count_documents(data_folder / name) == pytest.approx(count, rel=0.1)


def test_real_source_code():
    folder = Path(json.__file__).parent
    documents = read(folder)
    assert documents[0].id == "json/__init__.py#1"
    for document in documents:
        meta = document.metadata
        source = (folder.parent / meta["path"]).read_text(encoding="utf-8")
        assert source[meta["start"] : meta["end"]] == document.text
