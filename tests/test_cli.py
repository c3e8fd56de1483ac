"""The command line, as a person runs it: processes, their output and their exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import colxtr
from tiny_models import make_encoder_folder

COLXTR = (sys.executable, "-W", "error", "-m", "colxtr")
RECORDS = [
    {"id": "fox", "title": "Animals", "text": "the red fox runs over the hill"},
    {"id": "cat", "text": "a cat sleeps on the mat", "metadata": {"year": 2020}},
    {"id": "odd", "text": "\x1b[31mnothing\x1b[0m to see", "title": "<markup> [bold]"},
]


def run(*arguments, **options):
    """Run colxtr; everything is text, nothing is a terminal."""
    command = [*COLXTR, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", check=False, **options
    )


def complaints(stderr):
    """What was printed to standard error but the progress, which slow machines show."""
    progress = (
        "Indexing: ",
        "Encoding: ",
        "Searching: ",
        "Training (",
        "Optimizing: ",
        "Verifying: ",
    )
    return [line for line in stderr.splitlines() if not line.startswith(progress)]


def succeed(*arguments, **options):
    result = run(*arguments, **options)
    assert (result.returncode, complaints(result.stderr)) == (0, [])
    return result.stdout


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return make_encoder_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def index(tmp_path_factory, corpus, model):
    path = tmp_path_factory.mktemp("indexes") / "my.index"
    assert "added 3 documents" in succeed("index", corpus, "--index", path, "--model", model)
    return path


@pytest.mark.parametrize("command", [[], ["index"], ["search"], ["info"], ["demo"]])
def test_help_has_examples(command):
    text = succeed(*command, "--help")
    assert "Usage: colxtr" in text
    assert text.count("    colxtr ") >= 2


def test_help_is_fast():
    run("--help")
    times = []
    for _ in range(3):
        before = os.times()
        run("--help")
        after = os.times()  # of the processor: other programs may be busy
        times.append(sum(after[2:4]) - sum(before[2:4]))
    assert min(times) < 0.4


def test_help_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['colxtr', '--help']\n"
        "from colxtr.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'onnxruntime', 'tokenizers') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.endswith("[]\n")


def test_version():
    assert succeed("--version").startswith("colxtr ")


def test_search(index):
    lines = succeed("search", index, "red fox", "-k", "1").splitlines()
    assert lines[0].split()[0] == "1"
    assert lines[0].split()[2] == "fox"
    assert lines[1:] == ["    Animals", "    the red fox runs over the hill"]


def test_control_characters_do_not_reach_the_terminal(index):
    text = succeed("search", index, "nothing to see")
    assert "<markup> [bold]" in text
    assert "\x1b" not in text


def test_search_json(index):
    result = json.loads(succeed("search", index, "red fox", "-k", "2", "--json", "--explain"))
    assert result["query"] == "red fox"
    assert [hit["rank"] for hit in result["hits"]] == [1, 2]
    first = result["hits"][0]
    assert (first["id"], first["title"]) == ("fox", "Animals")
    tokens = [match["query_token"] for match in first["matches"]]
    assert "red" in tokens
    assert all(-1.01 <= match["similarity"] <= 1.01 for match in first["matches"])


@pytest.mark.parametrize("method", ["colxtr", "xtr", "colbertv2", "colbert", "exact"])
def test_methods(index, method):
    result = json.loads(succeed("search", index, "red fox", "--method", method, "--json"))
    assert result["hits"][0]["id"] == "fox"


def test_explain(index):
    text = succeed("search", index, "red fox", "-k", "1", "--explain")
    assert any(line.split()[::2] == ["fox", "fox"] for line in text.splitlines())


def test_queries_from_a_file(index, tmp_path):
    queries = tmp_path / "queries.tsv"
    queries.write_text("q1\tred fox\nq2\ta cat sleeps\n", encoding="utf-8")
    printed = succeed("search", index, "-f", queries, "-k", "2")
    assert [line.split()[:4] for line in printed.splitlines()][::2] == [
        ["q1", "Q0", "fox", "1"],
        ["q2", "Q0", "cat", "1"],
    ]
    out = tmp_path / "out.trec"
    result = run("search", index, "-f", queries, "-k", "2", "--run", out)
    assert (result.returncode, result.stdout) == (0, "")
    assert out.read_text(encoding="utf-8") == printed
    lines = succeed("search", index, "-f", queries, "-k", "2", "--json").splitlines()
    assert [json.loads(line)["query_id"] for line in lines] == ["q1", "q2"]
    assert json.loads(lines[1])["hits"][0]["metadata"] == {"year": 2020}


def test_info(index):
    found = json.loads(succeed("info", index, "--json"))
    assert found["n_documents"] == 3
    shown = succeed("info", index)
    assert "n_documents" in shown
    (codes,) = [line for line in shown.splitlines() if line.startswith("bytes, codes")]
    per_token = found["bytes"]["codes"] / found["n_tokens"]
    assert codes.endswith(f" {per_token:.2f} a token")


def test_index_json_names_what_was_skipped(tmp_path, model):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Title\n\nText.", encoding="utf-8")
    (tmp_path / "docs" / ".hidden").write_text("no", encoding="utf-8")
    path = tmp_path / "my.index"
    options = ("--index", path, "--model", model, "--json")
    result = json.loads(succeed("index", tmp_path / "docs", *options))
    assert (result["added"], result["skipped"]) == (1, {"hidden": 1})
    assert result["index"]["n_documents"] == 1


def test_standard_input_limit_and_resume(tmp_path, model, corpus):
    path = tmp_path / "my.index"
    text = corpus.read_text(encoding="utf-8")
    succeed("index", "-", "--index", path, "--model", model, "--limit", "1", input=text)
    resumed = succeed("index", corpus, "--index", path, "--resume")
    assert "added 2 documents" in resumed
    assert "already there: 1" in resumed
    assert "already there: 3" in succeed("index", corpus, "--index", path, "--resume")
    options = ("--index", path, "--model", model, "--overwrite", "--limit", "2")
    options += ("--memory-limit", "900 MB")
    assert "added 2 documents" in succeed("index", corpus, *options)


@pytest.mark.skipif(
    not (Path(colxtr.__file__).parent / "models" / "builtin" / "colxtr.json").is_file(),
    reason="this checkout has no built-in model",
)
def test_demo(tmp_path):
    path = tmp_path / "python.index"
    text = succeed("demo", "--index", path, "--passages", "300")
    assert text.startswith("300 passages of Python ")
    assert "> remove whitespace from both ends of a string" in text
    assert "  1 " in text
    assert "str.strip" in text
    assert "str.strip" in succeed("search", path, "remove whitespace from both ends")
    assert text.endswith(f'-m colxtr search {path} "your question"\n')
    again = run("demo", "--index", path)
    assert (again.returncode, again.stdout) == (1, "")
    assert "an index is already here; ask it" in again.stderr


def test_commands_are_described_whole():
    assert "..." not in succeed("--help").partition("Commands:")[2]


@pytest.mark.skipif(os.name != "posix", reason="closes streams in a shell")
def test_closed_streams(index):
    for closed, code, error in (
        ("search {} fox >&-", 0, ""),
        ("search {} fox 2>&-", 0, ""),
        ("index - --index {}.new <&-", 1, "error: there is no standard input; name a file\n"),
    ):
        command = f"'{sys.executable}' -m colxtr {closed.format(index)}"
        result = subprocess.run(
            ["/bin/sh", "-c", command], capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stderr) == (code, error)


ERRORS = [
    (["search", "nowhere", "x"], 1, "error: nowhere: no colxtr index here"),
    (["info", "nowhere"], 1, "error: nowhere: no colxtr index here"),
    (["index", "nowhere", "--index", "i"], 1, "error: nowhere does not exist"),
    (["index", ".", "--index", "i", "--model", "no/such folder"], 1, "error: 'no/such folder'"),
    (["index", ".", "--index", "i", "--passage-words", "0"], 1, "error: passages of 0 words"),
    (["index", ".", "--index", "i", "--overwrite", "--resume"], 2, "exclude each other"),
    (
        ["index", ".", "--index", "i", "--memory-limit", "much"],
        1,
        "memory 'much' is not understood",
    ),
    (["index", ".", "--index", "i", "--memory-limit", "99MB"], 1, "texts needs at least"),
    (["index", "."], 2, "--index"),
    (["search", "nowhere"], 2, "error: give one question"),
    (["search", "nowhere", "x", "-f", "y"], 2, "error: give one question"),
    (["search", "nowhere", " "], 2, "error: the question is empty"),
    (["search", "nowhere", "--explain", "-f", "y"], 2, "error: --explain is for one question"),
    (["search", "nowhere", "x", "--run", "y"], 2, "error: --run needs a file"),
    (["search", "nowhere", "x", "-k", "0"], 2, "-k"),
    (["search", "nowhere", "x", "--method", "best"], 2, "colbertv2"),
    (["nonsense"], 2, "nonsense"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), ERRORS)
def test_errors_are_one_message(tmp_path, arguments, code, message):
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == code
    assert message in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    if code == 1:
        assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_debug_shows_the_traceback(tmp_path):
    for arguments in (["--debug", "info", "nowhere"], ["info", "nowhere", "--debug"]):
        result = run(*arguments, cwd=tmp_path)
        assert result.returncode == 1
        assert "Traceback" in result.stderr


def test_a_broken_line_leaves_what_came_before(tmp_path, model, corpus):
    broken = tmp_path / "broken.jsonl"
    broken.write_text(corpus.read_text(encoding="utf-8") + "{broken\n", encoding="utf-8")
    path = tmp_path / "my.index"
    result = run("index", broken, "--index", path, "--model", model)
    assert result.returncode == 1
    first, second = complaints(result.stderr)
    assert first.startswith(f"error: {broken}, line 4: not valid JSON")
    assert second == "nothing was added"
    assert "3 documents" in succeed("index", corpus, "--index", path, "--model", model)
    result = run("index", broken, "--index", path, "--model", model, "--overwrite")
    assert complaints(result.stderr)[1:] == ["nothing was added, nothing replaced"]
    assert json.loads(succeed("info", path, "--json"))["n_documents"] == 3


@pytest.mark.parametrize("content", [b"", b"\x7fELF\0", b"caf\xe9"])
def test_without_a_first_document_nothing_is_touched(tmp_path, model, corpus, content):
    (tmp_path / "bad.txt").write_bytes(content)
    path = tmp_path / "my.index"
    options = ("--index", path, "--model", model)
    (message,) = complaints(run("index", tmp_path / "bad.txt", *options).stderr)
    assert str(tmp_path / "bad.txt") in message
    assert not path.exists()
    succeed("index", corpus, *options)
    assert run("index", tmp_path / "bad.txt", *options, "--overwrite").returncode == 1
    assert json.loads(succeed("info", path, "--json"))["n_documents"] == 3


def test_resume_where_nothing_was_stored(tmp_path, model, corpus):
    path = tmp_path / "my.index"
    path.mkdir()
    (path / "LOCK").touch()
    assert "added 3" in succeed("index", corpus, "--index", path, "--model", model, "--resume")


def test_a_run_is_not_searched_for_in_vain(tmp_path, index):
    (tmp_path / "queries").write_text("red fox\n", encoding="utf-8")
    for out, reason in ((tmp_path / "no" / "run", "there is no folder"), (tmp_path, "is a folder")):
        result = run("search", index, "-f", tmp_path / "queries", "--run", out)
        assert result.returncode == 1
        (message,) = result.stderr.splitlines()
        assert message.startswith(f"error: {out}")
        assert reason in message


@pytest.mark.parametrize(("limit", "total"), [(None, 3000), (500, 500)])
def test_progress_knows_the_total(tmp_path, model, monkeypatch, limit, total):
    from colxtr import Index
    from colxtr.cli.index import index as command

    seen = []
    monkeypatch.setattr(Index, "add", lambda self, documents, **options: seen.append(options) or 0)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"text": "the red fox"}\n' * 3000, encoding="utf-8")
    command([str(corpus)], tmp_path / "my.index", model=str(model), limit=limit)
    assert seen[0]["total"] == total


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_interrupted_and_resumed(tmp_path, model, corpus):
    path = tmp_path / "my.index"
    succeed("index", corpus, "--index", path, "--model", model)
    lines = "".join(f'{{"id": "{i}", "text": "{"the red fox " * 9}"}}\n' for i in range(3000))
    with subprocess.Popen(
        [*COLXTR, "index", "-", "--index", path, "--resume"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdin.write(lines)  # blocks until all but the last 64 kB were read
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        error = process.stderr.read()
        assert process.wait() == 130
    assert "interrupted; " in error
    assert "--resume" in error
    kept = json.loads(succeed("info", path, "--json"))["n_documents"]
    assert 1000 < kept < 3003
    assert f"{kept - 3:,} documents were added" in error
    succeed("index", "-", "--index", path, "--resume", input=lines)
    assert json.loads(succeed("info", path, "--json"))["n_documents"] == 3003


@pytest.mark.skipif(os.name != "posix", reason="pipes and /dev/full")
def test_closed_pipes_and_full_disks(index, tmp_path):
    queries = tmp_path / "queries"
    queries.write_text("red fox\n" * 5000, encoding="utf-8")
    command = [*COLXTR, "search", index, "-f", queries]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert complaints(process.stderr.read()) == []
        assert process.wait() == 1
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            result = subprocess.run(
                [*COLXTR, "info", index], stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert result.returncode == 1
        assert result.stderr == b"error: No space left on device\n"


def test_a_real_collection(tmp_path, model, data_folder):
    path = tmp_path / "scifact.index"
    options = ("--index", path, "--model", model, "--limit", "200", "--json")
    assert json.loads(succeed("index", data_folder / "scifact", *options))["added"] == 200
    (document,) = json.loads(succeed("search", path, "diffusion tensor", "-k", "1", "--json"))[
        "hits"
    ]
    assert document["text"]
