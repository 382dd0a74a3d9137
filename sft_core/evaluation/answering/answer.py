"""Answer prompts with every setting, and score the answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from accelerate.utils import set_seed
from torch.distributed.tensor import DTensor

from sft_core.errors import RecipeError
from sft_core.evaluation.answering.answers import Answers, Measure, Value, best_of, is_greater_better
from sft_core.evaluation.answering.config import AnsweringConfig
from sft_core.evaluation.answering.gen_kwargs import Setting, settings_of
from sft_core.evaluation.answering.generate import InputsOf, generate
from sft_core.evaluation.answering.measures import measure
from sft_core.evaluation.answering.processes import gathered, on_first, rank_and_count, share_of
from sft_core.evaluation.answering.prompts import Asked, Prompts, cut_left, excess
from sft_core.evaluation.answering.scoring import Scoring
from sft_core.modeling.pixels import PixelMaker
from sft_core.pretrained.image_places import ImageReader
from sft_core.store.image_store import ImageRef

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers of a model and their scores; the same on all processes."""

    scores: dict[str, float]
    """Score by the metric's name with the suffix of the setting; without a suffix, the best over all settings."""
    rows: list[Row]
    """Samples: one per prompt and setting, with the columns in the same order. If prompts have images, the column
    `images` has the digest, width, height and number of tokens of each."""
    num_prompts_cut: int
    """Number of prompts that were too long for the model in any of the settings, and were truncated on the left."""
    values: dict[str, Sequence[Value]]
    """Score → [prompts] the value of each prompt, for scores that are means over prompts. A name without a suffix has
    the values of the best setting."""


@dataclass(frozen=True, slots=True)
class Answering:
    """Everything that answering needs in addition to a model: prompts, generation settings and metrics."""

    config: AnsweringConfig
    scoring: Scoring
    prompts: Prompts
    """The prompts, at least one."""
    tokenizer: "PreTrainedTokenizerBase"
    pixels: PixelMaker | None = None
    """Maker of the image inputs; None if the model accepts no images."""

    def __post_init__(self) -> None:
        if self.pixels is None and any(self.prompts.images):
            raise RecipeError(
                "the held-out prompts have images, but the model's folder has no processor (preprocessor_config.json) "
                "for them; evaluate a vision-language model, or other rows"
            )

    def answer(
        self,
        model: "PreTrainedModel",
        labels: Row,
        greater_is_better: Mapping[str, bool] | None = None,
        on_answered: Callable[[int], None] = lambda _: None,
    ) -> Answered:
        """Answer all prompts with every setting. Processes share the prompts, and each returns all answers.

        Args:
            model: The model, in evaluation mode.
            labels: First columns of the samples.
            greater_is_better: Metric → True if greater is better, for metrics whose name does not show it.
            on_answered: Callback that repeatedly gets the number of new answers of this process.

        Raises:
            RecipeError: if a metric of the user fails, or no prompt fits into the model's positions.
        """
        by_setting: dict[str, list[Measure]] = {}
        by_score: dict[str, Measure] = {}
        rows: list[Row] = []
        cut: set[int] = set()
        for setting in settings_of(self.config.gen_kwargs):
            asked = self._asked(model, setting)
            tokens_cut = [len(whole) - len(one.ids) for whole, one in zip(self.prompts.prompt_ids, asked, strict=True)]
            cut |= {index for index, number in enumerate(tokens_cut) if number}
            outputs = self._generate(model, asked, setting, on_answered)
            answers = self._answers([one.ids for one in asked], outputs)
            measures = on_first(partial(measure, self.config, self.scoring, answers))
            for one in measures:
                by_setting.setdefault(one.name, []).append(one)
                by_score[one.name + setting.suffix] = one
            rows += self._rows({**labels, **setting.swept}, asked, answers, tokens_cut, measures)
        directions = greater_is_better or {}
        for name, several in by_setting.items():
            by_score[name] = best_of(several, directions.get(name, is_greater_better(name)))
        return Answered(
            scores={name: one.score for name, one in by_score.items()},
            rows=rows,
            num_prompts_cut=len(cut),
            values={name: one.values for name, one in by_score.items() if one.values is not None and one.is_mean},
        )

    @property
    def num_answers(self) -> int:
        """Number of answers that `answer` generates, over all settings."""
        return len(self.prompts) * len(settings_of(self.config.gen_kwargs))

    def score_names(self) -> list[str]:
        """Return the names of all scores, from one call of the metrics with the references as answers.

        Raises:
            RecipeError: if a metric of the user fails.
        """
        answers = self._answers(self.prompts.prompt_ids, self.prompts.reference)
        names = on_first(lambda: [one.name for one in measure(self.config, self.scoring, answers)])
        suffixes = ["", *(setting.suffix for setting in settings_of(self.config.gen_kwargs))]
        return list(dict.fromkeys(name + suffix for suffix in suffixes for name in names))

    def _asked(self, model: "PreTrainedModel", setting: Setting) -> list[Asked]:
        max_positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        too_many = excess(self.prompts.prompt_ids, max_positions, setting.max_new_tokens)
        reader = self._reader()
        whole = [Asked(*parts) for parts in zip(self.prompts.prompt_ids, self.prompts.images, strict=True)]
        if reader is None:
            return [Asked(one.ids[cut:], one.images) for one, cut in zip(whole, too_many, strict=True)]
        return [cut_left(reader, one, cut) if cut else one for one, cut in zip(whole, too_many, strict=True)]

    def _reader(self) -> ImageReader | None:
        has_images = self.pixels is not None and any(self.prompts.images)
        return ImageReader(self.pixels.vision(), self.tokenizer) if self.pixels and has_images else None

    def _generate(
        self,
        model: "PreTrainedModel",
        asked: list[Asked],
        setting: Setting,
        on_answered: Callable[[int], None],
    ) -> list[str]:
        rank, count = rank_and_count()
        mine = share_of(sorted(range(len(asked)), key=lambda index: len(asked[index].ids)), rank, count)
        set_seed(self.config.seed + rank)
        texts = generate(
            model,
            self.tokenizer,
            [asked[index].ids for index in mine],
            self.config.batch_size,
            setting.arguments,
            self.config.stop_sequences,
            synced_gpus=True if count > 1 and _is_sharded(model) else None,
            on_answered=on_answered,
            shown_with=shown_with(self.pixels, [asked[index].images for index in mine]),
        )
        by_index = {
            index: text for part in gathered(dict(zip(mine, texts, strict=True))) for index, text in part.items()
        }
        return [by_index[index] for index in range(len(asked))]

    def _answers(self, prompt_ids: list[list[int]], outputs: list[str]) -> Answers:
        return Answers(
            prompts=list(self.tokenizer.batch_decode(prompt_ids)),
            outputs=outputs,
            references=self.prompts.reference,
            metadata=self.prompts.metadata_columns(),
        )

    def _rows(
        self, labels: Row, asked: list[Asked], answers: Answers, tokens_cut: list[int], measures: list[Measure]
    ) -> list[Row]:
        reader = self._reader()
        return [
            {
                **labels,
                "source": self.prompts.source[index],
                "row": self.prompts.row[index],
                "prompt": reader.compact(answers.prompts[index]) if reader else answers.prompts[index],
                **({"images": reader.named(asked[index].ids, asked[index].images)} if reader else {}),
                "prompt_tokens_cut": tokens_cut[index],
                "output": answers.outputs[index],
                "reference": answers.references[index],
                **{one.name: one.values[index] for one in measures if one.values is not None},
            }
            for index in range(len(self.prompts))
        ]


def shown_with(pixels: PixelMaker | None, images: Sequence[Sequence[ImageRef]]) -> InputsOf | None:
    """Return a function that makes the image inputs for a batch of prompts: pixel values and their positions.

    Args:
        pixels: Maker of the inputs; None if the model accepts no images.
        images: [prompts] the images of each prompt.

    Returns:
        None if there are no images, so that the model is called with text only.
    """
    if pixels is None or not any(images):
        return None
    return lambda indices, ids: pixels.inputs([images[index] for index in indices], ids)


def _is_sharded(model: "PreTrainedModel") -> bool:
    """Return True if every process has only a part of the weights, as with accelerate's FSDP 2; transformers detects
    other kinds of sharding itself."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def as_lines(rows: list[Row]) -> bytes:
    """Write samples as JSON lines."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
