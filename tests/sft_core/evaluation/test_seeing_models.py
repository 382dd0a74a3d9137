"""Vision-language models in the evaluation: their answers in samples, and tasks of lm-eval, which are texts."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from sft_core.evaluation import EvaluationConfig, EvaluationPlan, locate_tasks
from sft_core.evaluation.run import evaluate
from sft_core.store.file_digests import FileDigests
from sft_core.store.image_store import encode_images
from sft_core.store.records import PROMPTS
from sft_core.store.tables import write_table
from tests.sft_core.evaluation.harness_tasks import write_tasks
from tests.vision_families import FAMILIES
from tests.vision_models import SIZES, Seeing, served

GREEDY = {"max_new_tokens": 5, "do_sample": False}


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Seeing, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return served(request.param, folder), folder


def plan_of(seen: tuple[Seeing, Path], output: Path, **evaluation: Any) -> EvaluationPlan:
    model, folder = seen
    output.mkdir()
    return EvaluationPlan(
        evaluation=EvaluationConfig(gen_kwargs=GREEDY, **evaluation),
        model_folder=folder / "model",
        baseline=None,
        baseline_seed=0,
        eval_folder=None,
        prompts=None,
        processor=model.pixels.processor,
        images_folder=model.store.folder,
        output_folder=output,
    )


def run(plan: EvaluationPlan) -> tuple[dict[str, float], list[dict[str, Any]]]:
    scores = evaluate(EvaluationPlan.model_validate_json(plan.model_dump_json()))
    lines = (plan.output_folder / "samples.jsonl").read_bytes().splitlines()
    return scores, [orjson.loads(line) for line in lines]


def test_prompts_with_images_are_answered_whatever_the_batch_size(seen: tuple[Seeing, Path], tmp_path: Path) -> None:
    model, _ = seen
    rows = []
    for number, sizes in enumerate(SIZES):
        images = model.show(sizes, 10 * number)
        fields = {"source": "s", "row": number, "prompt_ids": model.prompt(images, "What?"), "reference": "x"}
        rows.append({**fields, "metadata": "{}", "images": encode_images(images).decode() if images else None})
    write_table(tmp_path / "prompts.arrow", PROMPTS, rows)
    found = []
    for size in (1, 4):
        plan = plan_of(seen, tmp_path / str(size), batch_size=size)
        found.append(run(plan.model_copy(update={"prompts": tmp_path / "prompts.arrow"})))
    assert found[0] == found[1]
    scores, samples = found[0]
    assert (scores["num_prompts"], scores["num_prompts_cut"]) == (6, 0)
    assert [len(sample["images"]) for sample in samples] == [len(sizes) for sizes in SIZES]
    assert len({sample["output"] for sample in samples}) > 1


def test_tasks_of_lm_eval_are_asked_in_text(seen: tuple[Seeing, Path], tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    section = {"tasks": ("colours", "say_colour"), "include_path": str(write_tasks(tmp_path))}
    scores = []
    for size in (1, 4):
        plan = plan_of(seen, tmp_path / str(size), lm_eval=section, batch_size=size)
        located = locate_tasks(plan.evaluation.lm_eval, FileDigests(tmp_path / "digests.sqlite"))
        scores.append(run(plan.model_copy(update={"harness": located}))[0])
    assert scores[0] == scores[1]
    assert set(scores[0]) >= {"lm_eval/colours/acc", "lm_eval/say_colour/exact_match"}
