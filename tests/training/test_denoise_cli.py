"""The commands of denoised training, as a person runs them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tiny_torch import cross_encoder, multi_vector, save_bert, topical
from typer.testing import CliRunner

from colxtr.cli import app
from colxtr.training.tuple_files import read_tuples, write_beir

COLXTR = (sys.executable, "-W", "error", "-m", "colxtr")
COMMANDS = ["mine", "score", "distill", "refresh", "denoise"]


def run(folder, *arguments, **options):
    command = [*COLXTR, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, **options
    )


def complaints(stderr):
    """What was printed to standard error but the progress, which slow machines show."""
    bars = ("Reading words: ", "Mining: ", "Scoring: ", "Distilling: ", "Encoding: ", "Indexing")
    return [line for line in stderr.splitlines() if not line.startswith(bars)]


def succeed(folder, *arguments):
    result = run(folder, *arguments)
    assert (result.returncode, complaints(result.stderr)) == (0, [])
    return result.stdout


def here(folder, *arguments):
    """The same in this process: importing torch takes seconds."""
    with contextlib.chdir(folder):
        result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert (result.exit_code, complaints(result.stderr)) == (0, [])
    return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    write_beir(folder / "topics", topical())
    cross_encoder(folder / "cross")
    save_bert(folder / "plain")
    multi_vector(folder / "half-trained")
    succeed(folder, "mine", "topics", "-o", "tuples.jsonl", "--negatives", 5, "--near-duplicate", 0)
    return folder


def figures(text):
    (line,) = text.splitlines()
    return json.loads(line)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command, tmp_path):
    text = succeed(tmp_path, command, "--help")
    assert text.count("    colxtr ") >= 2


def test_help_imports_no_torch(tmp_path):
    program = "import sys; from colxtr.cli import app; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_mining_says_what_it_did(place):
    text = succeed(place, "mine", "topics", "-o", "again.jsonl")
    assert "again.jsonl: 24 tuples of 24 queries" in text
    assert "relevant documents found at 10:" in text
    both = succeed(place, "mine", "a=topics", "b=topics", "-o", "both.jsonl", "--json")
    assert figures(both)["queries"] == 48
    ids = {example.query_id for _, example in read_tuples(place / "both.jsonl")}
    assert {"a:q0", "b:q23"} <= ids


def test_scoring_distilling_and_refreshing(place):
    c = ("-c", "topics")
    text = here(place, "score", "tuples.jsonl", *c, "--teacher", "cross", "-o", "s.jsonl")
    assert "s.jsonl: 24 tuples, 120 negatives" in text
    steps = ("--max-steps", 2, "--n-way", 3, "--max-length", 32)
    report = figures(
        here(place, "distill", "s.jsonl", *c, "--student", "plain", "-o", "small", *steps, "--json")
    )
    assert (report["steps"], report["held_out"]) == (2, 2)
    made = ("--teacher", "small", "-o", "r.jsonl", "--depth", 20)
    report = figures(here(place, "refresh", "half-trained", "s.jsonl", *c, *made, "--json"))
    assert 0 < report["new"] <= 0.5
    assert report["scored"]["tuples"] == report["tuples"] == 24


def test_an_encoder_as_a_teacher(place):
    made = (
        "--teacher",
        "half-trained",
        "-o",
        "m.jsonl",
        "--max-ratio",
        0.99,
        "--margin",
        0,
        "--json",
    )
    report = figures(here(place, "score", "tuples.jsonl", "-c", "topics", *made))
    assert report["negatives_scored"] == 120


def test_errors_are_one_line(place):
    for arguments, message in [
        (("mine", "nowhere", "-o", "x"), "neither a file or folder that exists nor a hub id"),
        (("score", "tuples.jsonl", "--teacher", "cross", "-o", "x"), "name the collection"),
        (("score", "tuples.jsonl", "-c", "topics", "--teacher", "plain", "-o", "x"), "--labels"),
        (("denoise", "no.toml", "-o", "x"), "no.toml cannot be read"),
    ]:
        result = run(place, *arguments)
        assert result.returncode == 1
        assert result.stderr.startswith("error: ")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_and_the_same_command_again(place):
    """Interrupted while it trains; the same command goes on from a checkpoint."""
    command = [*COLXTR, "distill", "tuples.jsonl", "-c", "topics", "--student", "plain",
               "--labels", "-o", "long", "--max-steps", "60", "--save-steps", "5",
               "--max-length", "32"]  # fmt: skip
    with subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list(place.glob("long.work/checkpoint-*/complete")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert "the same command goes on" in process.communicate()[1]
    assert process.returncode == 130
    assert not (place / "long").exists()
    assert figures(here(place, *command[5:], "--json"))["steps"] == 60
    assert not (place / "long.work").exists()


def test_the_stages_of_a_recipe(place):
    (place / "recipe.toml").write_text(
        '[collections.topics]\npath = "topics"\n[model]\nstart = "half-trained"\n'
        '[teacher]\nmodel = "cross"\n',
        encoding="utf-8",
    )
    text = succeed(place, "denoise", "recipe.toml", "-o", "run", "--dry-run")
    names = ["mine", "score", "start", "train-1", "refresh-1", "train-2", "average", "export"]
    assert text.split() == names
    assert not (place / "run").exists()
