"""The whole loop with the trainer, the averaging and the export of this package."""

import pytest
from tiny_torch import save_bert, topical

import colxtr
from colxtr.training.loop import run_stages
from colxtr.training.loop_doers import doers
from colxtr.training.loop_recipe import read_loop_recipe
from colxtr.training.loop_stages import plan
from colxtr.training.tuple_files import write_beir

RECIPE = """
[collections.topics]
path = "topics"
[model]
start = "bert"
[mine]
depth = 20
negatives = 6
near_duplicate = 0.99
[teacher]
labels_from = "bert"
[teacher.labels]
n_way = 4
max_steps = 3
max_length = 32
[score]
negatives = 4
max_ratio = 1.0
[train]
model = {dim = 16, query_length = 16, document_length = 16, start_from_texts = 20}
objective = {k_train = 40, temperature = 0.1, distillation = 1.0}
batches = {size = 4, n_ways = 3, tokens_per_forward = 256}
optimizer = {steps = 3, learning_rate = 1e-3, projection_learning_rate = 1e-2}
[refresh]
rounds = 1
[refresh.mine]
depth = 20
negatives = 4
[average]
models = 2
base = 0.5
[export]
quantize = "float32"
"""


@pytest.mark.filterwarnings("ignore:objective.k_train is")
@pytest.mark.filterwarnings("ignore::colxtr.training.checkpoints.save.SavingWarning")
def test_from_a_plain_encoder_to_an_index(tmp_path):
    texts = topical()
    write_beir(tmp_path / "topics", texts)
    save_bert(tmp_path / "bert")
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")

    def run():
        recipe = read_loop_recipe(tmp_path / "recipe.toml")
        return run_stages(plan(recipe, tmp_path / "run", doers()), tmp_path / "run", say=print)

    results = {each.name: each.figures for each in run()}
    assert results["train-1"]["steps"] == results["train-2"]["steps"] == 3
    assert results["average"] == {"models": 3, "shares": [0.5, 0.25, 0.25]}
    assert all(each.done_before for each in run())
    encoder = colxtr.Encoder.load(tmp_path / "run" / "export" / "model")
    with colxtr.Index.create(tmp_path / "my.index", encoder=encoder) as index:
        index.add({"id": each, "text": text} for each, text in texts.documents.items())
        assert len(index.search("red fox n0", k=5)) == 5
