"""Texts, ids and folders that nobody hopes for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import colxtr
from colxtr.errors import DocumentError, IndexLockedError, InputError
from torture import made

ROWS = made.embeddings(1, 4)
TEXTS = {
    "one byte": "x",
    "controls": "".join(map(chr, range(32))) + "\x7f\x85\u2028\u2029",
    "nul": "a\0b",
    "scripts": "नमस्ते ສະບາຍດີ 你好 שלום ሰላም \U00013000 e\u0301 \u202eabc \U0001f469\u200d\U0001f680",
    "not a character": "\uffff\ufdd0\U0010ffff\ufeff",
    "quotes": "'; DROP TABLE documents; --\\ \" %s {}",
}


@pytest.fixture
def index(tmp_path: Path) -> colxtr.Index:
    return colxtr.Index.create(tmp_path / "index", dim=made.DIM)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text_comes_back(index: colxtr.Index, text: str) -> None:
    with index:
        document = {"id": text, "title": text, "text": text, "metadata": {text: [text]}}
        index.add_embeddings([document], [ROWS])
        index.update_embeddings([document | {"title": "new"}], [ROWS])
        index.optimize()
        (hit,) = index.search_embeddings(ROWS, filter={text: text})
        assert (hit.id, hit.text, hit.metadata) == (text, text, {text: [text]})
        assert index.get(text).title == "new"
        assert index.verify()
        assert index.delete([text]) == 1


def test_a_text_of_64_megabytes(index: colxtr.Index) -> None:
    text = "many words " * (64_000_000 // 11)
    with index:
        index.add_embeddings([{"id": "long", "text": text}], [ROWS])
        index.optimize(retrain=False)
        assert index.get("long").text == text
        assert index.verify()


@pytest.mark.parametrize("field", ["id", "text", "title", "metadata"])
def test_half_a_surrogate_pair_is_refused(index: colxtr.Index, field: str) -> None:
    document = {"id": "a", "text": "b", "title": "c", field: "x\ud800"}
    if field == "metadata":
        document[field] = {"key\ud800": "v"}
    with index:
        if field == "metadata":  # JSON can say it, and says it back
            index.add_embeddings([document], [ROWS])
            assert index.get("a").metadata == {"key\ud800": "v"}
        else:
            with pytest.raises(DocumentError, match="not valid Unicode"):
                index.add_embeddings([document], [ROWS])
        assert "x\ud800" not in index
        assert index.get("x\ud800") is None
        assert index.delete(["x\ud800"]) == 0
        with pytest.raises(InputError, match="is not in"):
            index.explain_embeddings(ROWS, "x\ud800")


@pytest.mark.parametrize("doc_id", ["../a/b", "a\nb\r\tc", "\0", "x" * 1024, " ", "é" * 512])
def test_ids_are_any_string_of_1_to_1024_bytes(index: colxtr.Index, doc_id: str) -> None:
    with index:
        index.add_embeddings([doc_id], [ROWS])
        assert index.search_embeddings(ROWS)[0].id == doc_id
        assert doc_id in index
        assert len(list(index._path.iterdir())) == 5


@pytest.mark.parametrize("doc_id", ["", "x" * 1025, "x" * 1_000_000])
def test_other_ids_are_refused(index: colxtr.Index, doc_id: str) -> None:
    with index:
        with pytest.raises(DocumentError, match=f"has {len(doc_id)} bytes; 1 to 1024"):
            index.add_embeddings([doc_id], [ROWS])
        assert doc_id not in index
        assert index.delete([doc_id]) == 0


def test_a_read_only_folder_is_read(tmp_path: Path) -> None:
    """As a user without rights: root may write anywhere."""
    made.base(tmp_path / "index")
    expected = made.digest_at(tmp_path / "index")
    program = f"""
import os, pathlib
from torture import made
import colxtr
folder = pathlib.Path({str(tmp_path / "index")!r})
for path in folder.iterdir():
    path.chmod(0o444)
folder.chmod(0o555)
for above in folder.parents[:3]:
    above.chmod(0o755)
if os.geteuid() == 0:
    os.setuid(65534)
print(made.digest_at(folder))
with colxtr.Index.open(folder) as index:
    assert index.verify()
    assert not index.refresh()
try:
    colxtr.Index.open(folder, read_only=False)
except colxtr.ColxtrError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    digest, error = done.stdout.splitlines()
    assert digest == expected
    assert "LOCK: cannot be written: Permission denied" in error


def test_a_second_writer_is_told_of_the_first_whose_lock_dies_with_it(tmp_path: Path) -> None:
    made.base(tmp_path / "index")
    program = (
        "import sys, time, colxtr; index = colxtr.Index.open(sys.argv[1], read_only=False); "
        "print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "index")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(IndexLockedError, match=rf"\(process {process.pid}\); wait"):
            colxtr.Index.open(tmp_path / "index", read_only=False)
        made.digest_at(tmp_path / "index")
        os.kill(process.pid, signal.SIGKILL)
    colxtr.Index.open(tmp_path / "index", read_only=False).close()
