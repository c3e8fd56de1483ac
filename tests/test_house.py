"""Promises of the package as a whole: what it exports, what importing it costs and touches."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import colxtr
from conftest import ROOT

SOURCES = sorted((ROOT / "src" / "colxtr").rglob("*.py"))

# The walk: a module imports only from rooms at or before its own (docs/ARCHITECTURE.md).
WALK = [
    ["errors", "cpus", "memory", "progress", "libraries"],
    ["documents", "conditions", "filters"],
    ["passages", "corpora", "runs", "lexical", "demo"],
    ["encoder_config"],
    ["query_weights", "pieces", "windows", "tokens"],
    ["model_folders", "network", "encoder"],
    ["_native", "kernels", "reference", "clustering", "clustering_gpu", "quantiser", "codec"],
    ["storage", "column", "columns"],
    ["search", "build", "upkeep", "waiting"],
    ["hits", "explanation", "info"],
    ["snapshot", "head", "index_encoder", "incoming", "writing", "index"],
    ["evaluation"],
    ["training"],
    ["cli", "__main__"],
]
ROOM = {name: number for number, names in enumerate(WALK) for name in names}


def run(program: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout


def test_public_names() -> None:
    assert dir(colxtr) == [
        "ColxtrError",
        "Document",
        "Encoder",
        "EncoderConfig",
        "Evaluation",
        "Explanation",
        "Hit",
        "Index",
        "IndexInfo",
        "Token",
        "TokenMatch",
        "__version__",
        "evaluate",
    ]
    for name in dir(colxtr):
        assert getattr(colxtr, name)
    with pytest.raises(AttributeError, match="no attribute 'Searcher'"):
        colxtr.Searcher  # noqa: B018


def test_version_is_the_packages() -> None:
    assert re.search(
        rf'^version = "{colxtr.__version__}"$', (ROOT / "pyproject.toml").read_text(), re.M
    )


def test_importing_loads_nothing_heavy() -> None:
    loaded = run("import sys, colxtr; print(*sys.modules)").split()
    heavy = {"numpy", "onnxruntime", "tokenizers", "huggingface_hub", "typer", "rich", "torch"}
    assert not heavy & set(loaded)


def test_embeddings_need_no_onnxruntime() -> None:
    program = """
import sys, tempfile, numpy, colxtr
with colxtr.Index.create(tempfile.mkdtemp(), dim=16) as index:
    index.add_embeddings(["a"], [numpy.eye(16)])
    assert index.search_embeddings(numpy.eye(16))[0].id == "a"
assert not {"onnxruntime", "tokenizers", "torch"} & set(sys.modules)
"""
    run(program)


def imported(path: Path) -> set[str]:
    """Full names of what a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_name(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "colxtr").parts[0].removesuffix(".py")


def test_modules_import_only_backwards() -> None:
    for path in SOURCES:
        if own_name(path) == "__init__":
            continue
        for name in imported(path):
            package, _, rest = name.partition(".")
            there = rest.split(".")[0]
            if package == "colxtr" and there in ROOM:  # others are public names: colxtr.Index
                assert ROOM[there] <= ROOM[own_name(path)], f"{path} imports {name}"


def test_every_module_has_its_room() -> None:
    names = {own_name(path) for path in SOURCES} - {"__init__"}
    assert names <= set(ROOM)
    table = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    for name in names:
        assert f"`{name}.py`" in table or f"`{name}/`" in table, f"{name} is not in ARCHITECTURE.md"


def test_only_one_module_imports_the_native_one() -> None:
    importers = [
        path.name for path in SOURCES if any("colxtr._native" in name for name in imported(path))
    ]
    assert importers == ["kernels.py"]


def test_a_build_without_gpu_loads_no_torch() -> None:
    program = """
import sys, tempfile, numpy, colxtr
with colxtr.Index.create(tempfile.mkdtemp(), dim=16, n_centroids=5000) as index:
    index.add_embeddings(["a"], [numpy.random.default_rng(0).random((6000, 16))])
assert "torch" not in sys.modules
"""
    run(program, COLXTR_DEVICE="cpu")
    run(program)


def test_nothing_is_pickled_and_torch_stays_in_its_room() -> None:
    for path in SOURCES:
        packages = {name.split(".")[0] for name in imported(path)}
        assert not packages & {"pickle", "shelve", "joblib"}, path
        if own_name(path) not in {"training", "clustering_gpu"}:
            assert not packages & {"torch", "transformers", "sentence_transformers"}, path
        assert "allow_pickle=True" not in path.read_text(), path


def test_instruction_set_files_define_no_shared_symbols() -> None:
    """A weak symbol compiled for a new machine could be linked into the code for all."""
    loops = ("kernels.inl", "levels.inl", "nearest.inl", "scoring.inl", "trellis.inl")
    loops += ("bytes_sse.inl", "half_f16c.inl")
    headers = [ROOT / "native" / name for name in ("kernels.h", *loops)]
    for path in [*sorted((ROOT / "native").glob("simd_*.cpp")), *headers]:
        allowed = {
            "kernels.h",
            *loops,
            "immintrin.h",
            "arm_neon.h",
            "string.h",
            "cstddef",
        }
        includes = set(re.findall(r'#include [<"](.+?)[>"]', path.read_text()))
        assert includes <= allowed | {"cstdint"}, path.name
