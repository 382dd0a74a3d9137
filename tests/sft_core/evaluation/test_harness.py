"""Tasks of lm-eval on a model: right scores, lm-eval's own scores, and what each document adds to them."""

import math
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from sft_core.errors import RecipeError
from sft_core.evaluation import (
    HARNESS_SAMPLES_FILE,
    INTERVALS_FILE,
    SCORED_ITEMS_FILE,
    EvaluationPlan,
    locate_tasks,
)
from sft_core.evaluation.paired_rows import pair_rows
from sft_core.evaluation.run import evaluate
from sft_core.registry.promotion import GateConfig, Standing, decide
from sft_core.store.file_digests import FileDigests
from sft_core.store.tables import read_table
from tests.sft_core.evaluation.harness_tasks import SAYS, TRUTH, WORDS, write_random, write_scripted, write_tasks
from tests.sft_core.evaluation.tiny_evaluation import plan_of

lm_eval = pytest.importorskip("lm_eval")

ALL = ("colours", "say_colour", "colour_perplexity")


def measure(folder: Path, model: Path, include_path: Path, batch_size: int = 16, **lm_eval: Any) -> dict[str, float]:
    """Evaluate into a folder; the scores."""
    folder.mkdir(exist_ok=True)
    section = {"tasks": ALL, "include_path": str(include_path), **lm_eval}
    plan = plan_of(folder, model, lm_eval=section, batch_size=batch_size, baseline=False)
    located = locate_tasks(plan.evaluation.lm_eval, FileDigests(folder / "digests.sqlite"))
    plan = plan.model_copy(update={"harness": located})
    return evaluate(EvaluationPlan.model_validate_json(plan.model_dump_json()))  # as it crosses the process boundary


def samples_of(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / HARNESS_SAMPLES_FILE).read_bytes().splitlines()]


def flat(value: Any) -> list[Any]:
    """Answers, likelihoods, and whether the most likely answer is meant, without the lists around them."""
    return [inner for item in value for inner in flat(item)] if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory, tasks: Path) -> tuple[Path, dict[str, float]]:
    """What came of the model that is wrong of one thing in four."""
    folder = tmp_path_factory.mktemp("scripted")
    return folder, measure(folder, write_scripted(folder / "model"), tasks)


def test_a_model_with_known_answers_has_the_known_scores(scripted: tuple[Path, dict[str, float]]) -> None:
    _, scores = scripted
    assert scores["lm_eval/colours/acc"] == 0.75
    assert scores["lm_eval/say_colour/exact_match"] == 0.75
    # of two words, the first comes after the beginning (here the end token), the second after the first
    logit, others = 2 * math.sqrt(16), len(WORDS) - 1  # a row of the head, times the normed embedding
    log_sum = math.log(math.exp(logit) + others)
    right, wrong = logit - log_sum, -log_sum
    log_likelihood = 4 * wrong + 3 * right + wrong
    assert scores["lm_eval/colour_perplexity/word_perplexity"] == pytest.approx(math.exp(-log_likelihood / 8), rel=1e-4)


def test_each_document_adds_its_value_and_means_have_intervals(scripted: tuple[Path, dict[str, float]]) -> None:
    folder, scores = scripted
    items = read_table(folder / SCORED_ITEMS_FILE)
    assert set(items["metric"].to_pylist()) == {"lm_eval/colours/acc", "lm_eval/say_colour/exact_match"}
    own = items.filter(pc.equal(items["metric"], "lm_eval/colours/acc"))
    assert own["row"].to_pylist() == [0, 1, 2, 3]
    assert own["numerator"].to_pylist() == [float(SAYS[thing] == TRUTH[thing]) for thing in TRUTH]
    intervals = orjson.loads((folder / INTERVALS_FILE).read_bytes())
    assert intervals.keys() == set(items["metric"].to_pylist()), "a perplexity is no mean, and has none"
    assert intervals["lm_eval/colours/acc"]["low"] < 0.75 < intervals["lm_eval/colours/acc"]["high"]
    assert scores.keys() > intervals.keys()


def test_what_was_asked_and_answered_is_kept(scripted: tuple[Path, dict[str, float]], tasks: Path) -> None:
    folder, _ = scripted
    samples = samples_of(folder)
    assert [(one["task"], one["doc_id"]) for one in samples] == [(task, row) for task in ALL for row in range(4)]
    said = next(one for one in samples if one["task"] == "say_colour" and one["doc_id"] == 3)
    assert said["arguments"][0][0] == "<user> coal ", "in the model's own chat template"
    assert (said["filtered_resps"], said["target"], said["exact_match"]) == (["white"], "black", 0.0)
    assert (said["model"], said["step"]) == ("trained", 0)
    few = folder / "few"
    measure(few, folder / "model", tasks, tasks=("colours",), num_logged_samples=2)
    assert [one["doc_id"] for one in samples_of(few)] == [0, 3]


@pytest.mark.parametrize(
    ("has_template", "settings"),
    [(True, {"num_fewshot": 2, "system_instruction": "Answer"}), (False, {"limit": 3}), (True, {"limit": 0.5})],
)
def test_scores_are_those_of_lm_eval_itself(
    tmp_path: Path, tasks: Path, has_template: bool, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)  # asks pip, for seconds
    folder = write_random(tmp_path / "model") if has_template else write_random(tmp_path / "model", None)
    scores = measure(tmp_path / "ours", folder, tasks, **settings)
    expected = lm_eval.simple_evaluate(
        HFLM(AutoModelForCausalLM.from_pretrained(folder), tokenizer=AutoTokenizer.from_pretrained(folder)),
        tasks=list(ALL),
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        apply_chat_template=has_template,
        fewshot_as_multiturn=has_template,
        bootstrap_iters=0,
        **settings,
    )
    theirs = {
        "lm_eval/colours/acc": expected["results"]["colours"]["acc,none"],
        "lm_eval/say_colour/exact_match": expected["results"]["say_colour"]["exact_match,none"],
        "lm_eval/colour_perplexity/word_perplexity": expected["results"]["colour_perplexity"]["word_perplexity,none"],
    }
    assert scores == pytest.approx(theirs, rel=1e-5)
    ours = {(one["task"], one["doc_id"]): one for one in samples_of(tmp_path / "ours")}
    for task, samples in expected["samples"].items():
        for sample in samples:
            mine = ours[task, sample["doc_id"]]
            assert orjson.loads(orjson.dumps(sample["arguments"])) == mine["arguments"], "the same prompts"


def test_scores_do_not_depend_on_the_batch_size(tmp_path: Path, tasks: Path) -> None:
    model = write_random(tmp_path / "model")
    found = [measure(tmp_path / str(size), model, tasks, size, num_fewshot=1) for size in (1, 3)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    first, second = ([one["filtered_resps"] for one in samples_of(tmp_path / str(size))] for size in (1, 3))
    assert len(first) == 12
    for ours, others in zip(first, second, strict=True):
        for mine, other in zip(flat(ours), flat(others), strict=True):
            assert mine == (pytest.approx(other, rel=1e-4) if isinstance(other, float) else other)


def test_a_group_has_a_score_and_the_documents_of_its_tasks(tmp_path: Path, tasks: Path) -> None:
    scores = measure(tmp_path, write_scripted(tmp_path / "model"), tasks, tasks=("all_colours",))
    assert scores["lm_eval/all_colours/acc"] == scores["lm_eval/colours/acc"] == 0.75
    items = read_table(tmp_path / SCORED_ITEMS_FILE)
    assert len(items.filter(pc.equal(items["metric"], "lm_eval/all_colours/acc"))) == 4
    said = next(one for one in samples_of(tmp_path) if one["task"] == "say_colour")
    assert said["arguments"][0][0].count("<user>") == 3, "two examples, as the group says"


def test_a_group_that_is_defined_within_another_is_measured(tmp_path: Path, tasks: Path) -> None:
    scores = measure(tmp_path, write_scripted(tmp_path / "model"), tasks, tasks=("nested",))
    names = {"lm_eval/colours/acc", "lm_eval/say_colour/exact_match", "lm_eval/nested::inner/acc"}
    assert scores == dict.fromkeys(names, 0.75)


def test_the_gate_weighs_a_gain_document_by_document(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path, repeats=10)
    champion, better = tmp_path / "champion", tmp_path / "better"
    metric, asked = "lm_eval/colours/acc", {"tasks": ("colours",)}
    first = measure(champion, write_scripted(champion / "model"), tasks, **asked)
    second = measure(better, write_scripted(better / "model", TRUTH), tasks, **asked)
    gate = GateConfig(metric=metric, direction="maximize")
    digests = {"data_digest": "d", "template_digest": "t", "tokenizer_digest": "k"}
    versions = [Standing("2", second, **digests), Standing("1", first, **digests)]
    items = [read_table(folder / SCORED_ITEMS_FILE) for folder in (champion, better)]
    verdict = decide(gate, *versions, pair_rows(*items, metric))
    assert verdict.rule == "better", verdict.reason
    assert verdict.gain is not None
    assert verdict.gain.num_rows == 40
    assert 0 < verdict.gain.low < verdict.gain.value == 0.25 < verdict.gain.high

    (tasks / "choice.yaml").write_text((tasks / "choice.yaml").read_text().replace('"{{thing}}"', '"Answer {{thing}}"'))
    third = measure(better, better / "model", tasks, **asked)
    redefined = read_table(better / SCORED_ITEMS_FILE)
    verdict = decide(gate, Standing("3", third, **digests), versions[1], pair_rows(items[0], redefined, metric))
    assert verdict.rule == "too few rows", "documents of a task that was defined otherwise are no counterparts"


def test_a_task_that_changed_since_it_was_located_is_not_measured(tmp_path: Path) -> None:
    tasks, model = write_tasks(tmp_path), write_scripted(tmp_path / "model")
    plan = plan_of(tmp_path, model, lm_eval={"tasks": ("colours",), "include_path": str(tasks)}, baseline=False)
    located = locate_tasks(plan.evaluation.lm_eval, FileDigests(tmp_path / "digests.sqlite"))
    plan = plan.model_copy(update={"harness": located})
    with (tmp_path / "colours.jsonl").open("a") as file:
        file.write('{"thing": "snow", "colour": "white"}\n')
    with pytest.raises(RecipeError, match="the data of 'colours' changed since the run began"):
        evaluate(plan)
    (tasks / "choice.yaml").write_text((tasks / "choice.yaml").read_text() + "num_fewshot: 0\n")
    with pytest.raises(RecipeError, match="YAML or code changed since the run began"):
        evaluate(plan)


def test_a_template_that_the_model_does_not_have_is_not_applied(tmp_path: Path, tasks: Path) -> None:
    with pytest.raises(RecipeError, match="has no chat template"):
        measure(tmp_path, write_random(tmp_path / "model", None), tasks, apply_chat_template=True)
