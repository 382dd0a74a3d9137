"""Answers to prompts with images, as a page: what the model was shown, what it said, and what it should have said."""

from collections.abc import Mapping, Sequence
from typing import Any

from sft_core.inspection.images import figures_of_images
from sft_core.inspection.markup import escaped, paragraph, section
from sft_core.inspection.run_pages import score_in_words, scores_of
from sft_core.inspection.style import STYLE
from sft_core.inspection.thumbnails import Thumbnails
from sft_core.store.image_store import ImageRef, ImageStore

SAMPLES_PAGE = "samples.html"
MAX_PROMPTS = 30
TEXT_CHARS = 1200
Sample = Mapping[str, Any]


def samples_page(title: str, samples: Sequence[Sample], store: ImageStore) -> str | None:
    """Write one HTML page that holds all it shows, below 1 MB; None where no prompt has an image.

    Args:
        title: Whose answers they are.
        samples: Of `samples.jsonl`: one a model, prompt and setting.
        store: Of the images.
    """
    prompts: dict[tuple[Any, Any], list[Sample]] = {}
    for sample in samples:
        prompts.setdefault((sample["source"], sample["row"]), []).append(sample)
    if not any(sample.get("images") for sample in samples):
        return None
    shown, thumbnails = list(prompts.values())[:MAX_PROMPTS], Thumbnails(store)
    cards = "".join(_card(of_prompt, thumbnails) for of_prompt in shown)
    more = len(prompts) - len(shown)
    rest = paragraph(f"… and {more:,} more prompts; samples.jsonl has all") if more > 0 else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}: samples</title><style>{STYLE}</style></head><body><main>"
        f'<h1>{escaped(title)}</h1><div class="sub">held-out prompts and answers</div><br>'
        f"{section('samples', 'Samples', cards + rest)}</main></body></html>\n"
    )


def _card(of_prompt: Sequence[Sample], thumbnails: Thumbnails) -> str:
    first = of_prompt[0]
    images = [
        (ImageRef(image["digest"], image["width"], image["height"]), image["tokens"]) for image in first["images"]
    ]
    said = [("prompt", first["prompt"]), *((_who(sample), sample["output"]) for sample in of_prompt)]
    rows = "".join(_said(who, text) for who, text in [*said, ("expected", first["reference"])])
    return (
        f'<article class="row"><header><b>{escaped(first["source"])}</b> row {first["row"]:,}</header>'
        f"{figures_of_images(images, thumbnails)}<dl>{rows}</dl></article>"
    )


def _who(sample: Sample) -> str:
    """Which model answered, with which setting, and what the answer scored."""
    name = "answer" if sample["model"] == "trained" else "before training"
    return ", ".join([name, *(f"{key} {score_in_words(value)}" for key, value in scores_of(sample).items())])


def _said(who: str, text: str) -> str:
    short = text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}…"
    return f'<dt>{escaped(who)}</dt><dd class="excerpt">{escaped(short)}</dd>'
