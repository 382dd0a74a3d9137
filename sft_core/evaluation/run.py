"""Measure a model on held-out rows. Runs inside `accelerate launch -m sft_core.evaluation plan.json`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import torch
from torch.utils.data import DataLoader
from transformers import AutoTokenizer

from sft_core.answering import Prompts
from sft_core.answering.answer import Answering, Row, as_lines
from sft_core.errors import RecipeError
from sft_core.evaluation.plan import SAMPLES_FILE, SCORECARD_FILE, EvaluationPlan
from sft_core.modeling import (
    Blocks,
    Collator,
    Documents,
    as_token_sums,
    base_of,
    check_isolation,
    evaluate_batches,
    load_model,
    load_trained,
    takes_positions,
    to_device,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def evaluate(plan: EvaluationPlan) -> dict[str, float]:
    """Measure the trained model and, where asked, the one before training; write `scorecard.json` and `samples.jsonl`.

    Returns:
        The scorecard: `eval_loss`, `eval_perplexity`, `eval_entropy`, `eval_mean_token_accuracy`, the metrics of the
        answers by name, `num_prompts`, `num_prompts_cut`, and all but the last two with `baseline_` before them.

    Raises:
        RecipeError: if a metric of the user's fails.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(plan.model_folder)
    answering = _answering(plan, tokenizer)
    samples: list[Row] = []
    scorecard = _measure(to_device(load_trained(plan.model_folder), device), answering, plan, "", samples)
    if plan.baseline is not None:
        baseline = to_device(load_model(plan.baseline, tokenizer, plan.baseline_seed), device)
        scorecard |= _measure(baseline, answering, plan, "baseline_", samples)
    (plan.output_folder / SCORECARD_FILE).write_bytes(orjson.dumps(scorecard, option=orjson.OPT_INDENT_2))
    (plan.output_folder / SAMPLES_FILE).write_bytes(as_lines(samples))
    return scorecard


def _answering(plan: EvaluationPlan, tokenizer: "PreTrainedTokenizerBase") -> Answering | None:
    if plan.prompts is None or not plan.evaluation.num_prompts:
        return None
    prompts = Prompts.read(plan.prompts, plan.evaluation.num_prompts)
    return Answering(plan.evaluation, plan.scoring, prompts, tokenizer) if len(prompts) else None


def _measure(
    model: "PreTrainedModel",
    answering: Answering | None,
    plan: EvaluationPlan,
    prefix: str,
    samples: list[Row],
) -> dict[str, float]:
    model.eval()
    scores: dict[str, float] = {}
    if plan.eval_folder is not None:
        batches = _batches(model, Blocks(plan.eval_folder), plan.evaluation.batch_size)
        scores |= as_token_sums(evaluate_batches(model, batches, model.device)).means("eval_")
        scores["eval_perplexity"] = math.exp(min(scores["eval_loss"], 700.0))
    counts: dict[str, float] = {}
    if answering is not None:
        name = prefix.rstrip("_") or "trained"
        answered = answering.answer(model, {"step": 0 if prefix else plan.step, "model": name})
        scores |= answered.scores
        samples += answered.rows
        counts = {"num_prompts": len(answering.prompts), "num_prompts_cut": answered.num_prompts_cut}
    return {f"{prefix}{name}": value for name, value in scores.items()} | ({} if prefix else counts)


def _batches(model: "PreTrainedModel", blocks: Blocks, batch_size: int) -> "DataLoader[Any]":
    """Rows are blocks or, where the model would let documents of a block see each other, documents: training may have
    kept them apart with an attention that answering has not."""
    collator = Collator(model.config.pad_token_id, has_positions=takes_positions(base_of(model)))
    rows: Blocks | Documents = blocks
    if blocks.is_packed:
        try:
            check_isolation(model, collator, blocks, model.dtype)
        except RecipeError:
            rows = Documents(blocks)
    return DataLoader(rows, batch_size=batch_size, collate_fn=collator)


def main(plan_path: Path) -> None:
    """Read the plan and evaluate."""
    evaluate(EvaluationPlan.model_validate_json(plan_path.read_bytes()))
