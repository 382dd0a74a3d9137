"""Evaluation of a model on held-out rows, which runs in a separate process."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import torch
from torch.utils.data import DataLoader
from transformers import AutoTokenizer

from sft_core.errors import RecipeError
from sft_core.evaluation.answering import Prompts
from sft_core.evaluation.answering.answer import Answering, Row, as_lines
from sft_core.evaluation.harness.measure import Harness
from sft_core.evaluation.harness.measure import as_lines as as_task_lines
from sft_core.evaluation.plan import (
    HARNESS_SAMPLES_FILE,
    INTERVALS_FILE,
    PROGRESS_FILE,
    SAMPLES_FILE,
    SCORECARD_FILE,
    SCORED_ITEMS_FILE,
    EvaluationPlan,
)
from sft_core.evaluation.progress import Progress
from sft_core.evaluation.scored_items import intervals_of, items_of_answers, items_of_tokens
from sft_core.modeling import (
    NUM_SUMS,
    Blocks,
    Collator,
    Documents,
    ImagePositions,
    PixelMaker,
    as_token_sums,
    base_of,
    check_isolation,
    check_positions,
    evaluate_batches,
    has_vision,
    load_model,
    load_trained,
    longest_text,
    loss_by_source,
    max_positions,
    name_of_loss,
    takes_positions,
    to_device,
)
from sft_core.store.records import SCORED_ITEMS
from sft_core.store.tables import write_arrow

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(slots=True)
class Measurements:
    """Scores, samples and items of one model."""

    scores: dict[str, float] = field(default_factory=dict)
    samples: list[Row] = field(default_factory=list)
    items: list[pa.Table] = field(default_factory=list)
    """Tables with the schema `SCORED_ITEMS`."""
    task_samples: list[Row] = field(default_factory=list)
    """Samples of lm-eval's tasks."""
    num_prompts_cut: int = 0


def evaluate(plan: EvaluationPlan) -> dict[str, float]:
    """Measure the trained model and, if the plan has a baseline, the model before training.

    The results are written to `scorecard.json`, `samples.jsonl`, `scored_items.arrow` and `intervals.json`, and with
    tasks of lm-eval also to `lm_eval_samples.jsonl`.

    Returns:
        The scorecard: `eval_loss`, with several sources also `eval_loss/<source>`, `eval_perplexity`,
        `eval_entropy`, `eval_mean_token_accuracy`, the metrics of the answers by name, `num_prompts`,
        `num_prompts_cut`, `lm_eval/<task>/<metric>`, and all but `num_prompts…` again with the prefix `baseline_`.

    Raises:
        RecipeError: if a metric or a task of the user fails, or a text is longer than the model's positions.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(plan.model_folder)
    blocks = None if plan.eval_folder is None else Blocks(plan.eval_folder, plan.source_of_shard)
    evaluator = _Evaluator(plan, blocks, _answering(plan, tokenizer), _harness(plan), _padding_id(tokenizer))
    trained = evaluator.measure(to_device(load_trained(plan.model_folder), device), "trained", plan.step)
    scorecard, samples, task_samples = dict(trained.scores), trained.samples, trained.task_samples
    if evaluator.answering is not None:
        scorecard |= {"num_prompts": len(evaluator.answering.prompts), "num_prompts_cut": trained.num_prompts_cut}
    if plan.baseline is not None:
        baseline = to_device(load_model(plan.baseline, tokenizer, plan.baseline_seed), device)
        before = evaluator.measure(baseline, "baseline", 0)
        scorecard |= {f"baseline_{name}": value for name, value in before.scores.items()}
        samples += before.samples
        task_samples += before.task_samples
    items = pa.concat_tables([SCORED_ITEMS.empty_table(), *trained.items])
    names = {source: name_of_loss(source, "eval_") for source in (blocks.sources if blocks else ())}
    own_losses = {source: name for source, name in names.items() if name in scorecard}
    write_arrow(plan.output_folder / SCORED_ITEMS_FILE, items)
    for name, content in ((INTERVALS_FILE, intervals_of(items, own_losses)), (SCORECARD_FILE, scorecard)):
        (plan.output_folder / name).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    (plan.output_folder / SAMPLES_FILE).write_bytes(as_lines(samples))
    if evaluator.harness is not None:
        (plan.output_folder / HARNESS_SAMPLES_FILE).write_bytes(as_task_lines(task_samples))
    return scorecard


def _answering(plan: EvaluationPlan, tokenizer: "PreTrainedTokenizerBase") -> Answering | None:
    if plan.prompts is None or not plan.evaluation.num_prompts:
        return None
    prompts = Prompts.read(plan.prompts, plan.evaluation.num_prompts)
    pixels = PixelMaker.of(plan.processor, plan.images_folder)
    return Answering(plan.evaluation, plan.scoring, prompts, tokenizer, pixels) if len(prompts) else None


def _harness(plan: EvaluationPlan) -> Harness | None:
    if not plan.harness.tasks:
        return None
    return Harness(plan.evaluation.lm_eval, plan.harness, plan.model_folder, plan.evaluation.batch_size)


def _padding_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the padding id for models without one; any id works, because masks and positions show what is padding."""
    return next(found for found in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if found is not None)


@dataclass(frozen=True, slots=True)
class _Evaluator:
    plan: EvaluationPlan
    blocks: Blocks | None
    answering: Answering | None
    harness: Harness | None
    padding_id: int

    def measure(self, model: "PreTrainedModel", name: str, step: int) -> Measurements:
        """Measure a model on all blocks, on all prompts with each setting, and on all tasks of lm-eval."""
        model.eval()
        reading = model.config.get_text_config()
        if reading.pad_token_id is None:
            reading.pad_token_id = self.padding_id
        batches = None if self.blocks is None else _batches(model, self.blocks, self.plan)
        progress = Progress(
            self.plan.output_folder / PROGRESS_FILE,
            name,
            0 if batches is None else len(batches),
            0 if self.answering is None else self.answering.num_answers,
        )
        found = Measurements()
        if self.blocks is not None:
            assert self.plan.eval_folder is not None, "where the blocks are from"
            check_positions(max_positions(model.config), longest_text(self.plan.eval_folder))
            _measure_tokens(model, self.blocks, batches, progress, found)
        if self.answering is not None:
            answered = self.answering.answer(model, {"step": step, "model": name}, on_answered=progress.add_answers)
            found.scores |= answered.scores
            found.samples += answered.rows
            found.items.append(items_of_answers(self.answering.prompts, answered.values))
            found.num_prompts_cut = answered.num_prompts_cut
        if self.harness is not None:
            tasks = self.harness.measure(model, {"step": step, "model": name})
            found.scores |= tasks.scores
            found.items += tasks.items
            found.task_samples = tasks.samples
        return found


def _measure_tokens(
    model: "PreTrainedModel", blocks: Blocks, batches: Any, progress: Progress, found: Measurements
) -> None:
    sources = blocks.sources if len(blocks.sources) > 1 else ()
    of_segments = []

    def tell(sums: torch.Tensor) -> None:
        of_segments.append(sums.cpu().numpy())
        progress.add_batch()

    sums = evaluate_batches(model, batches, model.device, len(sources), tell=tell)
    found.scores |= as_token_sums(sums[:NUM_SUMS]).means("eval_")
    by_source = loss_by_source(sums[NUM_SUMS:], sources, "eval_")
    found.scores |= by_source if len(by_source) > 1 else {}
    found.scores["eval_perplexity"] = math.exp(min(found.scores["eval_loss"], 700.0))
    if blocks.segments is not None:
        source, row = blocks.segments.sources_and_rows()
        found.items.append(items_of_tokens(blocks.sources, source, row, np.concatenate(of_segments, axis=1)))


def _batches(model: "PreTrainedModel", blocks: Blocks, plan: EvaluationPlan) -> "DataLoader[Any]":
    """Make batches of blocks, or of single documents if the documents of a block would attend to each other.

    The second case exists because training may separate documents with an attention implementation that evaluation does
    not use. In both cases the segments are in the order of the data.
    """
    base = base_of(model)
    collator = Collator(
        model.config.get_text_config().pad_token_id,
        has_positions=takes_positions(base),
        pixels=PixelMaker.of(plan.processor, plan.images_folder) if has_vision(base.config) else None,
        image_positions=ImagePositions.of(base),
    )
    rows: Blocks | Documents = blocks
    if blocks.is_packed:
        try:
            check_isolation(model, collator, blocks, model.dtype)
        except RecipeError:
            rows = Documents(blocks)
    return DataLoader(rows, batch_size=plan.evaluation.batch_size, collate_fn=collator)


def main(plan_path: Path) -> None:
    """Read the plan and evaluate the model."""
    evaluate(EvaluationPlan.model_validate_json(plan_path.read_bytes()))
