"""`colxtr add`, `delete`, `optimize`, `verify`: an index that changes, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from test_cli import run, succeed
from tiny_models import make_encoder_folder


def lines(*documents: dict[str, object]) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    model = make_encoder_folder(tmp_path / "tiny")
    source = tmp_path / "documents.jsonl"
    source.write_text(lines(*({"id": f"d{i}", "text": f"word{i} and more"} for i in range(5))))
    succeed("index", source, "--index", tmp_path / "index", "--model", model)
    return tmp_path / "index"


def documents(index: Path) -> int:
    return int(json.loads(succeed("info", index, "--json"))["n_documents"])


def test_documents_are_added_replaced_and_passed_over(index: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text(lines({"id": "d1", "text": "new"}, {"id": "d9", "text": "other"}))
    failed = run("add", more, "--index", index)
    assert failed.returncode == 1
    assert "'d1' is already in" in failed.stderr
    assert "--update replaces them" in failed.stderr
    assert documents(index) == 5
    assert "added 1 document" in succeed("add", more, "--index", index, "--skip-existing")
    result = json.loads(succeed("add", more, "--index", index, "--update", "--json"))
    assert result["added"] == 2
    assert documents(index) == 6
    found = json.loads(succeed("search", index, "new", "--json"))
    assert {"new", "other"} <= {hit["text"] for hit in found["hits"]}
    both = run("add", more, "--index", index, "--update", "--skip-existing")
    assert both.returncode == 2


def test_documents_are_deleted(index: Path, tmp_path: Path) -> None:
    assert succeed("delete", index, "d0", "nothing") == (
        "deleted 1 (1 ids were not in the index); 4 documents are left\n"
    )
    (tmp_path / "gone").write_text("d1\nd2\n")
    result = json.loads(succeed("delete", index, "--file", tmp_path / "gone", "--json"))
    assert result == {"deleted": 2, "not_found": 0, "n_documents": 2}
    assert json.loads(succeed("delete", index, "-f", "-", "--json", input="d3\n"))["deleted"] == 1
    assert run("delete", index).returncode == 2
    assert run("delete", tmp_path / "nowhere", "x").returncode == 1


def test_an_index_is_optimized_and_verified(index: Path) -> None:
    succeed("delete", index, "d0")
    assert "1 deleted documents became 1" in succeed("optimize", index)
    result = json.loads(succeed("optimize", index, "--reencode", "--json"))
    assert result["after"]["n_documents"] == 4
    assert "all is well" in succeed("verify", index)
    path = next(index.glob("*.sqlite"))
    content = bytearray(path.read_bytes())
    content[5_000] ^= 1
    path.write_bytes(content)
    failed = run("verify", index, "--json")
    assert failed.returncode == 1
    assert path.name in json.loads(failed.stdout)["problems"][0]
    assert path.name in run("search", index, "word1").stderr  # small indexes are checked at opening
    next(index.glob("manifest-*")).write_text("{}")
    assert "damaged" in run("verify", index).stdout
