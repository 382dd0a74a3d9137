"""Measure a model on held-out rows. Runs inside `accelerate launch -m sft_core.evaluation plan.json`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
import torch
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, set_seed

from sft_core.evaluation.generate import generate
from sft_core.evaluation.plan import SAMPLES_FILE, SCORECARD_FILE, EvaluationPlan
from sft_core.evaluation.score import is_exact_match
from sft_core.modeling import Blocks, Collator, as_token_sums, evaluate_batches, load_model, load_trained, to_device
from sft_core.tables import read_table

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Prompts:
    """Held-out prompts with their answers."""

    source: list[str]
    row: list[int]
    prompt_ids: list[list[int]]
    reference: list[str]

    @classmethod
    def read(cls, path: Path, num_prompts: int) -> "Prompts":
        """Read at most `num_prompts`, spread evenly."""
        table = read_table(path)
        chosen = np.unique(
            np.linspace(0, max(len(table) - 1, 0), min(num_prompts, len(table))).round().astype(np.int64)
        )
        columns = table.take(chosen)
        return cls(**{name: columns[name].to_pylist() for name in table.column_names})


def evaluate(plan: EvaluationPlan) -> dict[str, float]:
    """Measure the trained model and, where asked, the one before training; write `scorecard.json` and `samples.jsonl`.

    Returns:
        The scorecard: `eval_loss`, `eval_perplexity`, `eval_entropy`, `eval_mean_token_accuracy`, `exact_match`,
        `num_prompts`, and the same with `baseline_` before them.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(plan.model_folder)
    samples: list[dict[str, object]] = []
    scorecard = _measure(to_device(load_trained(plan.model_folder), device), tokenizer, plan, "", samples)
    if plan.baseline is not None:
        baseline = to_device(load_model(plan.baseline, tokenizer, plan.baseline_seed), device)
        scorecard |= _measure(baseline, tokenizer, plan, "baseline_", samples)
    (plan.output_folder / SCORECARD_FILE).write_bytes(orjson.dumps(scorecard, option=orjson.OPT_INDENT_2))
    lines = [orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE) for sample in samples]
    (plan.output_folder / SAMPLES_FILE).write_bytes(b"".join(lines))
    return scorecard


def _measure(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    plan: EvaluationPlan,
    prefix: str,
    samples: list[dict[str, object]],
) -> dict[str, float]:
    model.eval()
    scores: dict[str, float] = {}
    if plan.eval_folder is not None:
        batches = DataLoader(
            Blocks(plan.eval_folder),
            batch_size=plan.evaluation.batch_size,
            collate_fn=Collator(model.config.pad_token_id),
        )
        scores |= as_token_sums(evaluate_batches(model, batches, model.device)).means("eval_")
        scores["eval_perplexity"] = math.exp(min(scores["eval_loss"], 700.0))
    if plan.prompts is not None and plan.evaluation.num_prompts:
        scores |= _answer(model, tokenizer, plan, prefix, samples)
    return {f"{prefix}{name}": value for name, value in scores.items()}


def _answer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    plan: EvaluationPlan,
    prefix: str,
    samples: list[dict[str, object]],
) -> dict[str, float]:
    config = plan.evaluation
    assert plan.prompts is not None, "asked for only where there are prompts"
    prompts = Prompts.read(plan.prompts, config.num_prompts)
    if not prompts.row:
        return {}
    set_seed(config.seed)
    outputs = generate(model, tokenizer, prompts.prompt_ids, config.batch_size, config.gen_kwargs)
    pairs = zip(outputs, prompts.reference, strict=True)
    matches = [is_exact_match(output, reference, config.answer_pattern) for output, reference in pairs]
    texts = tokenizer.batch_decode(prompts.prompt_ids)
    for index, output in enumerate(outputs):
        samples.append(
            {
                "model": prefix.rstrip("_") or "trained",
                "source": prompts.source[index],
                "row": prompts.row[index],
                "prompt": texts[index],
                "output": output,
                "reference": prompts.reference[index],
                "exact_match": matches[index],
            }
        )
    count = {} if prefix else {"num_prompts": len(matches)}
    return {"exact_match": sum(matches) / len(matches), **count}


def main(plan_path: Path) -> None:
    """Read the plan and evaluate."""
    evaluate(EvaluationPlan.model_validate_json(plan_path.read_bytes()))
