"""Measure a model on tasks of lm-eval, with lm-eval's own wrapper for a model that is already in memory."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import torch
from transformers import AutoTokenizer

from sft_core.errors import RecipeError
from sft_core.evaluation.harness.config import LmEvalConfig
from sft_core.evaluation.harness.definitions import PLACE
from sft_core.evaluation.harness.locate import LocatedTasks, pinned_definitions
from sft_core.evaluation.harness.scores import items_of_tasks, score_names

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks.manager import TaskDict
    from transformers import PreTrainedModel

Row = dict[str, Any]
OF_A_SAMPLE = ("doc_id", "filter", "target", "arguments", "resps", "filtered_resps")
"""Fields of lm-eval's record of a document that are stored, in addition to its metrics."""


@dataclass(slots=True)
class MeasuredTasks:
    """Scores and samples of one model on all tasks."""

    scores: dict[str, float] = field(default_factory=dict)
    """Score by `lm_eval/<task or group>/<metric>`, followed by `/<filter>` if the filter has a name."""
    items: list[pa.Table] = field(default_factory=list)
    """`SCORED_ITEMS` of the scores that are means over documents."""
    samples: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Harness:
    """Everything that the measurement needs in addition to a model."""

    config: LmEvalConfig
    located: LocatedTasks
    tokenizer_folder: Path
    """Folder of the trained model's tokenizer; a baseline gets the same tokens and the same chat template."""
    batch_size: int

    def measure(self, model: "PreTrainedModel", labels: Row) -> MeasuredTasks:
        """Measure a model on all tasks.

        Args:
            model: The model, in evaluation mode.
            labels: First columns of the samples.

        Raises:
            RecipeError: if a task changed since it was located, or its data cannot be loaded.
        """
        from lm_eval.evaluator import evaluate

        lm, asks_in_template = self._wrapped(model)
        tasks = self._load()
        results = evaluate(
            lm,
            tasks,
            limit=self.config.limit,
            bootstrap_iters=0,  # the pipeline computes paired intervals itself; those of lm-eval take minutes
            apply_chat_template=asks_in_template,
            fewshot_as_multiturn=self.config.fewshot_as_multiturn and asks_in_template,
            system_instruction=self.config.system_instruction,
            confirm_run_unsafe_code=self.config.confirm_run_unsafe_code,
        )
        found = MeasuredTasks(scores=_scores(results["results"]))
        sources = self.located.sources(self.config)
        found.items = items_of_tasks(tasks["tasks"], tasks["groups"], results["samples"], found.scores, sources)
        for name, samples in results["samples"].items():
            found.samples += [{**labels, "task": name, **row} for row in _kept(samples, self.config.num_logged_samples)]
        return found

    def _wrapped(self, model: "PreTrainedModel") -> tuple["HFLM", bool]:
        """Wrap the model for lm-eval; return the wrapper, and whether prompts are formatted with the chat template.

        A template writes the BOS token itself if the model needs one, so no token is added, as in training. For plain
        text the tokenizer decides.
        """
        from lm_eval.models.huggingface import HFLM

        tokenizer = AutoTokenizer.from_pretrained(self.tokenizer_folder)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token_id = (
                model.config.get_text_config().pad_token_id
            )  # lm-eval would add a token that has no embedding
        has_template = bool(tokenizer.chat_template)
        asked = self.config.apply_chat_template
        if asked and not has_template:
            raise RecipeError(f"{PLACE}.apply_chat_template is true, but the model has no chat template")
        in_template = has_template if asked is None else asked
        add_bos_token = False if in_template else None
        lm = HFLM(model, backend="causal", tokenizer=tokenizer, batch_size=self.batch_size, add_bos_token=add_bos_token)
        return lm, in_template

    def _load(self) -> "TaskDict":
        """Load tasks and data, with the settings and seeds of `lm_eval.simple_evaluate`."""
        from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

        random.seed(DEFAULT_RANDOM_SEED)
        np.random.seed(DEFAULT_OTHER_SEED)
        torch.manual_seed(DEFAULT_OTHER_SEED)
        definitions = pinned_definitions(self.config, self.located)
        try:
            loaded: TaskDict = definitions.manager.load(list(self.config.tasks))
        except Exception as error:  # data, templates and code of a task may raise anything
            raise RecipeError(f"{PLACE}.tasks: loading them failed: {type(error).__name__}: {error}") from error
        for task in loaded["tasks"].values():
            if self.config.gen_kwargs and task.get_config("output_type") == "generate_until":
                task.set_config(key="generation_kwargs", value=self.config.gen_kwargs, update=True)
            own = task.get_config("num_fewshot")
            asked = self.config.num_fewshot
            task.set_config(key="num_fewshot", value=own or 0 if asked is None or own == 0 else asked)
            task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
        return loaded


def _scores(results: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return scores by their names; numbers that lm-eval could not compute (`N/A`) are skipped."""
    return {
        name: float(results[task][key])
        for task in results
        for key, name in score_names(task, results[task]).items()
        if isinstance(results[task][key], int | float | np.number) and math.isfinite(results[task][key])
    }


def _kept(samples: list[Row], num_documents: int) -> list[Row]:
    """Select the records of some documents, spread evenly over all of them."""
    documents = sorted({sample["doc_id"] for sample in samples})
    count = min(num_documents, len(documents))
    chosen = {documents[index] for index in np.linspace(0, len(documents) - 1, count).round().astype(int)}
    return [
        {name: sample[name] for name in (*OF_A_SAMPLE, *sample["metrics"])}
        for sample in samples
        if sample["doc_id"] in chosen
    ]


def as_lines(samples: list[Row]) -> bytes:
    """Write samples as JSON lines; values of types that JSON lacks are written with `str`."""
    option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    return b"".join(orjson.dumps(sample, default=str, option=option) for sample in samples)
