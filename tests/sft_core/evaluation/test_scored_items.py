"""What each row adds to a score: it adds up to the score in every layout, and tells how far a score can be trusted."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from transformers import AutoModelForCausalLM

from sft_core.evaluation import INTERVALS_FILE, PROGRESS_FILE, SCORED_ITEMS_FILE, EvaluationConfig
from sft_core.evaluation.answering import Scoring, locate_scoring
from sft_core.evaluation.bootstrap import score_interval
from sft_core.evaluation.run import evaluate
from sft_core.store.tables import read_table
from tests.sft_core.evaluation.tiny_evaluation import (
    plan_of,
    ragged_rows,
    write_eval,
    write_model,
    write_prompts,
)

NUM_ROWS = 7
ROWS = ragged_rows(NUM_ROWS)
LENGTHS = [len(row["input_ids"]) for row in ROWS]
SOURCES = ["gsm8k", "alpaca"]
SHARDS = [row % 2 for row in range(NUM_ROWS)]
WHOLE = [(row, 0, LENGTHS[row]) for row in range(NUM_ROWS)]
FIRST_HALF, SECOND_HALF = (3, 0, 2), (3, 2, LENGTHS[3])
LAYOUTS: dict[str, Any] = {
    "unpacked": {"blocks": [[piece] for piece in WHOLE]},
    "packed": {"blocks": [WHOLE[4:], WHOLE[:3], WHOLE[3:4]]},
    "bfd_split": {"blocks": [[*WHOLE[4:], FIRST_HALF], [SECOND_HALF, *WHOLE[:3]]]},
    "wrapped": {"blocks": [[*WHOLE[:3], FIRST_HALF], [SECOND_HALF, *WHOLE[4:]]], "is_one_sequence": True},
}

Items = dict[tuple[str, str, int], tuple[float, float]]


def items_of(folder: Path) -> Items:
    rows = read_table(folder / SCORED_ITEMS_FILE).to_pylist()
    found = {(row["metric"], row["source"], row["row"]): (row["numerator"], row["denominator"]) for row in rows}
    assert len(found) == len(rows), "one line a score and row"
    return found


def total_of(items: Items, metric: str, source: str | None = None) -> float:
    own = [pair for (name, of, _), pair in items.items() if name == metric and source in (None, of)]
    numerator, denominator = np.array(own).sum(0)
    return float(numerator / denominator)


def brute_force(model_folder: Path, layout: dict[str, Any], has_weights: bool) -> dict[int, np.ndarray]:
    """Row → loss, weight, hits and targets, from one document at a time."""
    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    found = {row: np.zeros(4) for row in range(NUM_ROWS)}
    for pieces in layout["blocks"]:
        for document in [pieces] if layout.get("is_one_sequence") else [[piece] for piece in pieces]:
            ids, mask, weights = (
                np.concatenate([ROWS[row][name][a:b] for row, a, b in document])
                for name in ("input_ids", "loss_mask", "loss_weights")
            )
            owner = np.concatenate([np.full(b - a, row) for row, a, b in document])
            with torch.no_grad():
                log_p = torch.log_softmax(model(torch.from_numpy(ids)[None]).logits[0], -1).numpy()
            for place in range(1, len(ids)):
                if mask[place]:
                    weight = weights[place] if has_weights else 1.0
                    is_hit = log_p[place - 1].argmax() == ids[place]
                    loss = -weight * log_p[place - 1, ids[place]]
                    found[int(owner[place])] += [loss, weight, is_hit, 1]
    return found


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder


@pytest.mark.parametrize("has_weights", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_add_up_to_the_scorecard_in_every_layout(
    tmp_path: Path, model_folder: Path, layout: str, has_weights: bool
) -> None:
    write_eval(tmp_path, ROWS, shards=SHARDS, has_weights=has_weights, **LAYOUTS[layout])
    scorecard = evaluate(plan_of(tmp_path, model_folder, SOURCES, batch_size=2))
    items = items_of(tmp_path)
    for score in ("eval_loss", "eval_mean_token_accuracy"):
        assert total_of(items, score) == pytest.approx(scorecard[score], rel=1e-9)
    for source in SOURCES:
        assert total_of(items, "eval_loss", source) == pytest.approx(scorecard[f"eval_loss/{source}"], rel=1e-9)
    for row, expected in brute_force(model_folder, LAYOUTS[layout], has_weights).items():
        place = SOURCES[SHARDS[row]], row
        told = *items["eval_loss", *place], *items["eval_mean_token_accuracy", *place]
        assert told == pytest.approx(expected, rel=1e-5), f"row {row}"


def test_documents_that_are_measured_alone_still_know_their_rows(tmp_path: Path) -> None:
    """OPT lets documents of a block see each other, so that each is run by itself."""
    write_model(tmp_path / "model", "opt")
    layout = LAYOUTS["bfd_split"]
    write_eval(tmp_path, ROWS, shards=SHARDS, **layout)
    scorecard = evaluate(plan_of(tmp_path, tmp_path / "model", SOURCES, batch_size=3))
    items = items_of(tmp_path)
    for row, expected in brute_force(tmp_path / "model", layout, has_weights=False).items():
        assert items["eval_loss", SOURCES[SHARDS[row]], row] == pytest.approx(expected[:2], rel=1e-5), f"row {row}"
    assert total_of(items, "eval_loss", "alpaca") == pytest.approx(scorecard["eval_loss/alpaca"], rel=1e-9)


def test_a_single_source_has_no_loss_of_its_own(tmp_path: Path, model_folder: Path) -> None:
    write_eval(tmp_path, ROWS, shards=[0] * NUM_ROWS, **LAYOUTS["packed"])
    scorecard = evaluate(plan_of(tmp_path, model_folder, ["gsm8k", "not_held_out"]))
    assert not [name for name in scorecard if "/" in name]
    assert {source for _, source, _ in items_of(tmp_path)} == {"gsm8k"}


METRIC = """
def about_some(outputs, **_):
    return {"about_some": [float(number) if number % 2 else None for number, _ in enumerate(outputs)]}
"""


def test_answers_are_items_of_each_setting_and_of_the_best_but_not_of_scores_that_are_no_means(
    tmp_path: Path, model_folder: Path
) -> None:
    prompts = write_prompts(tmp_path, [[2, 3, 4], [7], [8, 9], [10, 11]], ["w5 w6", "w7", "w8 w9 w2", "w3"])
    (tmp_path / "mine.py").write_text(METRIC)
    sweep = {"gen_kwargs": {"max_new_tokens": 6, "do_sample": True, "temperature": [0.5, 3.0]}}
    section = {"metrics": ["f1", "bleu", f"{tmp_path}/mine.py:about_some"], **sweep}
    plan = plan_of(tmp_path, model_folder, prompts=prompts, **section)
    scoring: Scoring = locate_scoring(EvaluationConfig(**section))
    scorecard = evaluate(plan.model_copy(update={"scoring": scoring}))
    items = items_of(tmp_path)
    suffixes = ("", "/temperature:0.5", "/temperature:3.0")
    metrics = {metric for metric, _, _ in items}
    assert metrics == {f"{name}{suffix}" for name in ("f1", "about_some") for suffix in suffixes}
    for metric in metrics:
        assert total_of(items, metric) == pytest.approx(scorecard[metric], rel=1e-9)
    assert [row for metric, _, row in items if metric == "about_some"] == [1, 3], "None says nothing about an answer"
    assert len({total_of(items, f"f1{suffix}") for suffix in suffixes[1:]}) == 2, "the settings answer differently"


def test_intervals_are_those_of_the_rows(tmp_path: Path, model_folder: Path) -> None:
    write_eval(tmp_path, ROWS, shards=SHARDS, **LAYOUTS["packed"])
    scorecard = evaluate(plan_of(tmp_path, model_folder, SOURCES))
    intervals = orjson.loads((tmp_path / INTERVALS_FILE).read_bytes())
    assert set(intervals) == {"eval_loss", "eval_mean_token_accuracy", "eval_loss/gsm8k", "eval_loss/alpaca"}
    own = [
        pair for (metric, source, _), pair in items_of(tmp_path).items() if (metric, source) == ("eval_loss", "gsm8k")
    ]
    expected = score_interval(*np.array(own).T)
    assert intervals["eval_loss/gsm8k"] == {"low": expected.low, "high": expected.high}
    for name, interval in intervals.items():
        assert interval["low"] < scorecard[name] < interval["high"]


@pytest.mark.parametrize("layout", ["unpacked", "packed"])
def test_nothing_depends_on_the_batch_size(tmp_path: Path, model_folder: Path, layout: str) -> None:
    write_eval(tmp_path, ROWS, shards=SHARDS, **LAYOUTS[layout])
    ragged = [[2, 3, 4, 5, 6], [7], [8, 9], [10, 11, 12], [2, 2], [3], [4, 9, 9, 9], [5, 6]]
    prompts = write_prompts(tmp_path, ragged, ["w5"] * len(ragged))
    found = []
    for size in (1, 3, 8):
        options = {"batch_size": size, "metrics": ["f1"], "gen_kwargs": {"max_new_tokens": 6, "do_sample": False}}
        scorecard = evaluate(plan_of(tmp_path, model_folder, SOURCES, prompts, **options))
        samples = [orjson.loads(line) for line in (tmp_path / "samples.jsonl").read_bytes().splitlines()]
        found.append((scorecard, items_of(tmp_path), [sample["output"] for sample in samples]))
    (first, first_items, answers), *others = found
    assert len(set(answers)) > 4, "answers that are all the same would show nothing"
    for scorecard, items, outputs in others:
        assert outputs == answers
        assert scorecard == pytest.approx(first, rel=1e-5)
        assert items.keys() == first_items.keys()
        assert all(items[place] == pytest.approx(first_items[place], rel=1e-5) for place in items)


def test_a_model_that_names_no_padding_is_measured_like_any_other(tmp_path: Path, model_folder: Path) -> None:
    write_model(tmp_path / "model", pad_token_id=None)
    write_eval(tmp_path, ROWS, shards=SHARDS, **LAYOUTS["unpacked"])
    with_padding, without = (evaluate(plan_of(tmp_path, folder)) for folder in (model_folder, tmp_path / "model"))
    assert without == with_padding


def test_progress_counts_to_the_end_for_each_model(tmp_path: Path, model_folder: Path) -> None:
    write_eval(tmp_path, ROWS, shards=SHARDS, **LAYOUTS["unpacked"])
    prompts = write_prompts(tmp_path, [[2, 3], [7], [8, 9]], ["w5"] * 3)
    sweep = {"max_new_tokens": 2, "do_sample": True, "temperature": [0.5, 3.0]}
    evaluate(plan_of(tmp_path, model_folder, SOURCES, prompts, batch_size=2, gen_kwargs=sweep))
    lines = [orjson.loads(line) for line in (tmp_path / PROGRESS_FILE).read_bytes().splitlines()]
    assert lines[0] == {"model": "trained", "batches": 1, "of_batches": 4, "answers": 0, "of_answers": 6}
    assert lines[-1] == {"model": "trained", "batches": 4, "of_batches": 4, "answers": 6, "of_answers": 6}
