import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import tiny_models
from colxtr import Index
from colxtr import encoder as encoder_module
from colxtr.documents import Document
from colxtr.encoder import Encoder
from colxtr.errors import InputError, ModelError

TEXTS = ["the red fox", "", "runs over the running fox, again and again", "x", "fox " * 500, "red"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_models.make_encoder_folder(tmp_path / "tiny")


def by_hand(folder: Path, ids: list[int]) -> np.ndarray[Any, Any]:
    """What the tiny network computes, normalised."""
    model = onnx.load(folder / "model.onnx")
    table = onnx.numpy_helper.to_array(model.graph.initializer[0])
    looked_up = table[ids]
    embeddings = looked_up + looked_up.mean(axis=0)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


# -- embeddings ---------------------------------------------------------------------------------


def test_embeddings_are_those_of_the_network(folder: Path) -> None:
    ids = tiny_models.wordpiece().encode("the red fox").ids
    expected = by_hand(folder, ids)
    encoder = Encoder.load(folder)
    for made in (encoder.encode_queries(TEXTS)[0], encoder.encode_documents(TEXTS)[0]):
        assert made.dtype == np.float32
        assert made.flags.c_contiguous
        assert made.flags.owndata
        np.testing.assert_allclose(made, expected, atol=1e-6)


def test_an_empty_text_has_no_embeddings(folder: Path) -> None:
    encoder = Encoder.load(folder)
    assert encoder.encode_queries([""])[0].shape == (0, 16)
    assert encoder.encode_documents(["", " ", "fox"])[1].shape == (0, 16)
    assert encoder.encode_documents([""], windows=True)[0].shape == (0, 16)
    assert encoder.encode_documents([]) == []


@pytest.mark.parametrize("windows", [False, True])
def test_the_company_of_a_text_makes_no_difference(
    folder: Path, windows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder.load(folder)
    generator = np.random.default_rng(3)
    texts = [" ".join(["red", "fox", "s,"] * int(n)) for n in generator.integers(0, 200, size=80)]
    alone = [encoder.encode_documents([text], windows=windows)[0] for text in texts]
    monkeypatch.setattr(encoder_module, "_BATCH_TOKENS", 700)
    monkeypatch.setattr(encoder_module, "_CHUNK_TEXTS", 33)
    for order in (np.arange(80), generator.permutation(80)):
        together = encoder.encode_documents([texts[i] for i in order], windows=windows)
        for i, made in zip(order, together, strict=True):
            np.testing.assert_allclose(made, alone[i], atol=1e-5)


def test_batches_stay_below_the_budget(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder.load(folder)
    sizes = []
    run = encoder._network.run

    def recording(ids: Any, attention: Any) -> Any:
        sizes.append(ids.size)
        return run(ids, attention)

    monkeypatch.setattr(encoder._network, "run", recording)
    monkeypatch.setattr(encoder_module, "_BATCH_TOKENS", 500)
    texts = ["fox " * n for n in range(300)]
    encoder.encode_documents(texts)
    assert max(sizes) <= 500
    n_tokens = sum(min(n + 2, 220) for n in range(1, 300))
    assert n_tokens <= sum(sizes) < 1.2 * n_tokens


def test_every_row_has_its_token(folder: Path) -> None:
    settings = {"skip_tokens": ["[CLS]"], "skip_punctuation": True, "query_expansion": True}
    tiny_models.write_settings(folder, **settings)
    encoder = Encoder.load(folder)
    long = Document("1", "red fox, " * 400, title="The title")
    for item in (*TEXTS, long):
        for windows in (False, True):
            made = encoder.encode_documents([item], windows=windows)[0]
            assert len(encoder.document_tokens(item, windows=windows)) == len(made)
    for text in TEXTS:
        assert len(encoder.query_tokens(text)) == len(encoder.encode_queries([text])[0])


def test_windows_reach_the_end_of_a_document(folder: Path) -> None:
    encoder = Encoder.load(folder)
    text = "fox " * 8000 + "red"
    assert len(encoder.encode_documents([text])[0]) == 220
    assert len(encoder.encode_documents([text], windows=True)[0]) == 8003
    assert encoder.document_tokens(text, windows=True)[-2].text == "red"


@pytest.mark.parametrize(("windows", "n_tokens"), [({}, 8003), ({"windows": False}, 220)])
def test_an_index_holds_the_whole_of_a_long_document(
    windows: dict[str, bool], n_tokens: int, folder: Path, tmp_path: Path
) -> None:
    with Index.create(tmp_path / "index", encoder=folder, **windows) as index:
        index.add(["fox " * 8000 + "red"])
        assert index.info().n_tokens == n_tokens


def test_titles_are_encoded_before_the_text(folder: Path) -> None:
    encoder = Encoder.load(folder)
    items = [Document("1", "fox", title="the red"), {"text": "fox", "title": "the red"}]
    expected = encoder.encode_documents(["the red fox"])[0]
    for made in encoder.encode_documents(items):
        np.testing.assert_array_equal(made, expected)


def test_without_normalisation_lengths_are_the_networks(folder: Path) -> None:
    tiny_models.write_settings(folder, normalize=False)
    made = Encoder.load(folder).encode_queries(["the red fox"])[0]
    assert not np.allclose(np.linalg.norm(made, axis=1), 1)


def test_a_zero_vector_stays_zero(folder: Path) -> None:
    table = np.zeros((200, 16), np.float32)
    tiny_models.save_network(folder / "model.onnx", table)
    assert not Encoder.load(folder).encode_queries(["fox"])[0].any()


def test_token_types_are_zeros(folder: Path) -> None:
    expected = Encoder.load(folder).encode_queries(["the red fox"])[0]
    table = tiny_models.random_table(tiny_models.wordpiece().get_vocab_size())
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    tiny_models.save_network(folder / "model.onnx", table, inputs=inputs)
    made = Encoder.load(folder).encode_queries(["the red fox"])[0]
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("windows", [False, True])
def test_without_a_mask_nothing_is_padded(
    folder: Path, windows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(3)
    texts = ["red fox, " * int(n) for n in generator.integers(0, 200, size=80)]
    expected = Encoder.load(folder).encode_documents(texts, windows=windows)
    table = tiny_models.random_table(tiny_models.wordpiece().get_vocab_size())
    tiny_models.save_network(folder / "model.onnx", table, inputs=("input_ids",))
    encoder = Encoder.load(folder)
    sizes = []
    run = encoder._network.run

    def recording(ids: Any, attention: Any) -> Any:
        assert attention.all()
        sizes.append(ids.shape)
        return run(ids, attention)

    monkeypatch.setattr(encoder._network, "run", recording)
    monkeypatch.setattr(encoder_module, "_BATCH_TOKENS", 700)
    made = encoder.encode_documents(texts, windows=windows)
    assert max(rows * length for rows, length in sizes) <= 700
    assert any(rows > 1 for rows, _ in sizes)  # there are equal lengths
    for some, same in zip(made, expected, strict=True):
        np.testing.assert_allclose(some, same, atol=1e-5)


def test_hidden_tokens_need_a_mask(folder: Path) -> None:
    table = tiny_models.random_table(tiny_models.wordpiece().get_vocab_size())
    tiny_models.save_network(folder / "model.onnx", table, inputs=("input_ids",))
    tiny_models.write_settings(folder, query_expansion=True, attend_to_expansion_tokens=True)
    expanded = Encoder.load(folder).encode_queries(["the red fox"])[0]
    assert len(expanded) == Encoder.load(folder).config.query_length
    tiny_models.write_settings(folder, query_expansion=True)
    with pytest.raises(ModelError, match=r"model\.onnx has no attention_mask, and queries"):
        Encoder.load(folder)


# -- streams ------------------------------------------------------------------------------------


def test_a_stream_is_read_as_it_is_needed(folder: Path) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "the red fox"

    stream = Encoder.load(folder).iter_encode_documents(endless())
    for _ in range(600):
        assert next(stream).shape == (5, 16)
    assert read == 1024


def test_long_texts_make_small_chunks(folder: Path) -> None:
    read = 0

    def long_texts() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "fox " * 500_000

    next(Encoder.load(folder).iter_encode_documents(long_texts()))
    assert read == 2


def test_generators_are_welcome(folder: Path) -> None:
    encoder = Encoder.load(folder)
    for encode in (encoder.encode_queries, encoder.encode_documents):
        assert [len(made) for made in encode(text for text in TEXTS)][:2] == [5, 0]


# -- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["encode_queries", "encode_documents", "iter_encode_documents"])
@pytest.mark.parametrize("one", ["fox", b"fox", Document("1", "fox"), {"text": "fox"}])
def test_one_text_instead_of_a_list(folder: Path, method: str, one: object) -> None:
    with pytest.raises(InputError, match="pass a list"):
        getattr(Encoder.load(folder), method)(one)


def test_bad_items_are_named(folder: Path) -> None:
    encoder = Encoder.load(folder)
    with pytest.raises(InputError, match="document 600 is a int"):
        encoder.encode_documents(["fox"] * 600 + [1])
    with pytest.raises(InputError, match="query 1 is a NoneType"):
        encoder.encode_queries(["fox", None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="document 600 holds half a surrogate pair"):
        encoder.encode_documents(["fox"] * 600 + ["\udc00"])
    with pytest.raises(InputError, match="threads is 0"):
        Encoder.load(folder, threads=0)


# -- models -------------------------------------------------------------------------------------


def test_an_encoder_says_what_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    encoder = Encoder.load("tiny")
    assert (encoder.name, encoder.dim, encoder.config.dim) == ("tiny", 16, 16)
    assert encoder.source == str(folder)
    assert Encoder.load(encoder.source).fingerprint == encoder.fingerprint
    assert repr(encoder) == f"Encoder('tiny', dim=16, source='{folder}')"


def test_the_fingerprint_is_that_of_what_matters(folder: Path) -> None:
    first = Encoder.load(folder).fingerprint
    assert len(first) == 16
    tiny_models.write_settings(folder, name="another name")
    assert Encoder.load(folder).fingerprint == first
    tiny_models.write_settings(folder, query_length=20)
    second = Encoder.load(folder).fingerprint
    tiny_models.save_network(folder / "model.onnx", 2 * tiny_models.random_table(200))
    third = Encoder.load(folder).fingerprint
    (folder / "model.onnx.data").write_bytes(b"more weights")
    fourth = Encoder.load(folder).fingerprint
    assert len({first, second, third, fourth}) == 4


def test_a_folder_that_is_no_encoder_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no colxtr\.json.*colxtr export"):
        Encoder.load(tmp_path)


def test_a_model_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder that exists nor a hub id"):
        Encoder.load(tmp_path / "none")
    with pytest.raises(ModelError, match="neither a folder that exists nor a hub id"):
        Encoder.load("no such model")


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.onnx is a file; pass the folder"):
        Encoder.load(folder / "model.onnx")


def test_missing_weights_name_the_remedy(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"'model\.onnx', which is not in .*colxtr export"):
        Encoder.load(folder)


@pytest.mark.parametrize("damage", ["empty", "cut", "noise"])
def test_damaged_weights_are_named(folder: Path, damage: str) -> None:
    path = folder / "model.onnx"
    content = path.read_bytes()
    noise = np.random.default_rng(5).bytes(len(content))
    path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "noise": noise}[damage])
    with pytest.raises(ModelError, match=r"model\.onnx is not an ONNX network"):
        Encoder.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ("input_ids", "attention_mask", "position_ids")}, "has the inputs"),
        ({"output": "last_hidden_state"}, 'it needs "token_embeddings"'),
        ({"dim": 24}, '(1, 1, 24) for (1, 1) ids, not (1, 1, 16); correct "dim"'),
        ({"dim": 24, "static_dim": False}, "(1, 1, 24) for (1, 1) ids, not (1, 1, 16)"),
    ],
)
def test_graphs_that_are_not_ours(folder: Path, change: dict[str, Any], message: str) -> None:
    table = tiny_models.random_table(200, change.pop("dim", 16))
    tiny_models.save_network(folder / "model.onnx", table, **change)
    with pytest.raises(ModelError) as caught:
        Encoder.load(folder)
    assert message in str(caught.value)
    assert str(folder / "model.onnx") in str(caught.value)


def test_a_vocabulary_larger_than_the_network(folder: Path) -> None:
    tiny_models.save_network(folder / "model.onnx", tiny_models.random_table(4))
    with pytest.raises(ModelError, match="failed on a batch of 1 x 3 tokens"):
        Encoder.load(folder).encode_queries(["fox"])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_numbers_that_are_not_finite(folder: Path, value: float) -> None:
    table = np.full((200, 16), value, np.float32)
    tiny_models.save_network(folder / "model.onnx", table)
    with pytest.raises(ModelError, match="not finite"):
        Encoder.load(folder).encode_queries(["fox"])


# -- the hub ------------------------------------------------------------------------------------


class Hub:
    """Stands in for `huggingface_hub.snapshot_download`."""

    def __init__(self, cached: Path | None, online: Path | None) -> None:
        self.cached, self.online = cached, online
        self.asked: list[tuple[str, str | None, bool]] = []

    def __call__(
        self,
        repo_id: str,
        *,
        revision: str | None,
        allow_patterns: list[str],
        local_files_only: bool,
    ) -> str:
        assert all("json" in p or "onnx" in p or "npy" in p for p in allow_patterns)
        self.asked.append((repo_id, revision, local_files_only))
        folder = self.cached if local_files_only else self.online
        if folder is None:
            raise OSError("no route to the hub\nand more about it")
        return str(folder)


def use(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Hub:
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub)
    return hub


def test_a_cached_model_is_not_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = use(monkeypatch, Hub(folder, None))
    encoder = Encoder.load("owner/tiny")
    assert encoder.source == "owner/tiny"
    assert hub.asked == [("owner/tiny", None, True)]


def test_a_broken_download_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "part").mkdir()
    hub = use(monkeypatch, Hub(folder.parent / "part", folder))
    encoder = Encoder.load("owner/tiny", revision="v1")
    assert encoder.source == "owner/tiny@v1"
    assert hub.asked == [("owner/tiny", "v1", True), ("owner/tiny", "v1", False)]
    hub.asked.clear()
    assert Encoder.load(encoder.source).source == encoder.source
    assert hub.asked[0] == ("owner/tiny", "v1", True)


def test_a_hub_without_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Hub(None, None))
    with pytest.raises(ModelError, match=r"no folder 'owner/none'.*no route to the hub.*check"):
        Encoder.load("owner/none")


def test_the_local_cache_is_enough(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    repository = home / ".cache" / "huggingface" / "hub" / "models--owner--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    code = """
import sys
def hook(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect"):
        raise OSError(f"{event} {arguments}")
sys.addaudithook(hook)
from colxtr.encoder import Encoder
encoder = Encoder.load("owner/tiny")
print(encoder.source, len(encoder.encode_queries(["the red fox"])[0]))
try:
    Encoder.load("owner/other")
except Exception as error:
    print(type(error).__name__)
"""
    done = run_python(code, home=home)
    assert done.stdout.split() == ["owner/tiny", "5", "ModelError"], done.stderr


# -- processes and threads ----------------------------------------------------------------------


def test_threads_may_share_an_encoder(folder: Path) -> None:
    encoder = Encoder.load(folder)
    expected = encoder.encode_documents(TEXTS)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                for made, right in zip(encoder.encode_documents(TEXTS), expected, strict=True):
                    np.testing.assert_array_equal(made, right)
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def run_python(code: str, *arguments: object, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "HF_", "ORT_", "TOKENIZERS_"))
    }
    paths = [str(Path(encoder_module.__file__).parents[1]), str(Path(__file__).parent)]
    environment |= {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_encodes(folder: Path, tmp_path: Path) -> None:
    code = """
import os, sys
import numpy as np
from colxtr.encoder import Encoder
encoder = Encoder.load(sys.argv[1], threads=4)
texts = ["the red fox", "runs", "over " * 300] * 20
expected = encoder.encode_documents(texts)
child = os.fork()
made = encoder.encode_documents(texts)
assert all(np.array_equal(a, b) for a, b in zip(made, expected))
other = Encoder.load(sys.argv[1], threads=4).encode_documents(texts)
if child:
    assert os.waitpid(child, 0)[1] == 0
print("done")
"""
    done = run_python(code, folder, home=tmp_path)
    assert done.stderr == ""
    assert done.stdout.split() == ["done", "done"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_that_does_not_encode_ends(folder: Path, tmp_path: Path) -> None:
    code = """
import os, sys
from colxtr.encoder import Encoder
encoder = Encoder.load(sys.argv[1], threads=4)
encoder.encode_documents(["the red fox " * 300] * 20)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
"""
    done = run_python(code, folder, home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_encoding_leaves_no_trace_and_asks_nobody(folder: Path, tmp_path: Path) -> None:
    code = """
import sys
asked = []
def hook(event, arguments):
    if event.startswith("socket.") and event != "socket.__new__":
        asked.append((event, arguments))
sys.addaudithook(hook)
import colxtr
from colxtr.encoder import Encoder
light = {"onnxruntime", "tokenizers", "huggingface_hub", "rich", "torch"} & set(sys.modules)
encoder = Encoder.load(sys.argv[1])
encoder.encode_documents(["the red fox"] * 3)
encoder.query_tokens("fox")
import json
heavy = {"torch", "transformers", "huggingface_hub", "rich"} & set(sys.modules)
print(json.dumps([sorted(light), sorted(heavy), asked]))
"""
    home = tmp_path / "home"
    home.mkdir()
    done = run_python(code, folder, home=home)
    assert done.stderr == ""
    assert json.loads(done.stdout) == [[], [], []]
    assert list(home.rglob("*")) == []
