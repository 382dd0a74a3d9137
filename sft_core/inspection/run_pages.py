"""Markdown pages of a run, built from plain values: scores, samples, loss curve, verdict and comparison."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sft_core.evaluation.gains import ScoreGain
from sft_core.inspection.loss_curve import loss_curve
from sft_core.inspection.markdown import excerpt, number, picture, table

MAX_SAMPLES = 30
PROMPT_CHARS, ANSWER_CHARS = 48, 40
"""Maximum numbers of characters. Prefect does not wrap text in tables, so prompt, answer, expected answer and one score
have to fit on one line; further columns are reached by scrolling."""
SPECIAL_TOKEN = re.compile(r"<\|im_start\|>(?:system|user|assistant)\n|<\|[^|>]*\|>|</?s>|\[/?INST\]")
"""Special tokens of chat templates. For ChatML the role name after the token is included, because every prompt ends
with `assistant`."""
FACTS_OF_SAMPLES = frozenset(
    {"step", "model", "source", "row", "prompt", "images", "prompt_tokens_cut", "output", "reference", "metadata"}
)
BASELINE = "baseline_"
Row = Mapping[str, Any]
Intervals = Mapping[str, Mapping[str, float]]


def scores_table(scores: Mapping[str, float], intervals: Intervals) -> str:
    """Build a table of a scorecard: each score, the score before training if it was measured, and the interval."""
    measured = [name for name in scores if not name.startswith(BASELINE)]
    has_before = any(name.startswith(BASELINE) for name in scores)
    headers = ["score", *(["before training", "after"] if has_before else ["value"]), "95 % interval"]
    rows = [
        [
            name,
            *([number(scores.get(f"{BASELINE}{name}"))] if has_before else []),
            number(scores[name]),
            interval(intervals, name),
        ]
        for name in measured
    ]
    return table(headers, rows)


def interval(intervals: Intervals, score: str, digits: str = ".4g") -> str:
    """Format the interval of a score; a dash if it has no interval."""
    found = intervals.get(score)
    return "–" if found is None else f"{found['low']:{digits}} to {found['high']:{digits}}"


def scorecard_page(scores: Mapping[str, float], intervals: Intervals, verdict: str | None) -> str:
    """Build the page of a scorecard: the gate's verdict, if there is one, and the scores."""
    judged = [] if verdict is None else [f"**Gate:** {verdict}."]
    return "\n\n".join([*judged, scores_table(scores, intervals)]) + "\n"


def samples_rows(samples: Iterable[Row]) -> list[dict[str, str]]:
    """Build one table row per prompt: prompt, expected answer, and the answers after and before training.

    Args:
        samples: Lines of `samples.jsonl`, one per model, prompt and generation setting. Only the first setting is
            shown.
    """
    shown: dict[tuple[Any, Any], dict[str, Row]] = {}
    for sample in samples:
        shown.setdefault((sample["source"], sample["row"]), {}).setdefault(sample["model"], sample)
    return [_sample_row(of_model) for of_model in list(shown.values())[:MAX_SAMPLES]]


def _sample_row(of_model: Mapping[str, Row]) -> dict[str, str]:
    trained = of_model.get("trained") or next(iter(of_model.values()))
    before = of_model.get("baseline")
    measured = {name: score_in_words(value) for name, value in scores_of(trained).items()}
    return {
        "prompt": end_of_prompt(trained["prompt"]),
        **({"images": str(len(trained["images"]))} if "images" in trained else {}),
        "answer": excerpt(trained["output"], ANSWER_CHARS),
        "expected": excerpt(trained["reference"], ANSWER_CHARS),
        **measured,
        **({"before training": excerpt(before["output"], ANSWER_CHARS)} if before else {}),
    }


def end_of_prompt(prompt: str) -> str:
    """Return the end of a prompt without special tokens. The end is what differs: chats often share their beginning."""
    text = " ".join(SPECIAL_TOKEN.sub(" ", prompt).split())
    return text if len(text) <= PROMPT_CHARS else f"…{text[-PROMPT_CHARS + 1 :]}"


def scores_of(sample: Row) -> dict[str, Any]:
    """Return the scores of an answer by metric, and the numeric values of its generation setting."""
    return {
        name: value
        for name, value in sample.items()
        if name not in FACTS_OF_SAMPLES and isinstance(value, bool | int | float)
    }


def score_in_words(value: Any) -> str:
    """Format one score: `yes` or `no` for a boolean, otherwise three significant digits."""
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.3g}"


def loss_page(lines: Sequence[Row], summary: str) -> str:
    """Build a page with the loss curve and a summary of the training.

    Args:
        lines: Lines of `metrics.jsonl`.
        summary: Summary of the training, in one sentence.
    """
    drawing = loss_curve(lines)
    shown = "No loss was logged." if drawing is None else picture("loss and held-out loss over the steps", drawing)
    return f"{shown}\n\n{summary}\n"


def comparison_page(model: str, against: str, scores: tuple[Row, Row], gains: Mapping[str, ScoreGain]) -> str:
    """Build a page that compares two models on the same rows.

    Args:
        model: Name of the first model, as the caller wrote it.
        against: Name of the second model.
        scores: Scores of the first and of the second model.
        gains: Score → gain of the first model over the second.
    """
    rows = [
        [name, number(scores[0].get(name)), number(scores[1].get(name)), *_gain(gains.get(name))]
        for name in scores[0]
        if name in scores[1]
    ]
    words = f"`{model}` against `{against}`. A gain is the first minus the second, over the rows that both have."
    return f"{words}\n\n{table(['score', 'model', 'against', 'gain', '95 % interval', 'rows'], rows)}\n"


def _gain(gain: ScoreGain | None) -> list[str]:
    if gain is None:
        return ["–", "–", "–"]
    return [f"{gain.value:+.4g}", f"{gain.low:+.4g} to {gain.high:+.4g}", f"{gain.num_rows:,}"]


def promotion_page(model: str, verdict: str, numbers: Row | None, aliases: Mapping[str, str]) -> str:
    """Build a page with the decision about a registered version and the aliases of the model.

    Args:
        model: The version, as a link or a name.
        verdict: The decision as text.
        numbers: The content of `verdict.json`; None if no gate was applied.
        aliases: Alias → version of the model after the decision.
    """
    standing = table(["alias", "version"], sorted(aliases.items())) if aliases else "No version has an alias."
    looked_at = [table(["what", "found"], _facts_of(numbers))] if numbers else []
    return "\n\n".join([f"{model}: **{verdict}**.", *looked_at, standing]) + "\n"


def _facts_of(numbers: Row) -> list[list[str]]:
    """Return the table rows of a verdict's numbers."""
    metric, gain = numbers["gate"]["metric"], numbers["gain"] or {}
    return [
        [metric, number(numbers["score"])],
        [f"{metric} of the champion", number(numbers["champion_score"])],
        ["gain", number(gain.get("value"))],
        ["interval of the gain", interval({"gain": gain} if gain.get("low") is not None else {}, "gain")],
        ["rows that both have", f"{gain.get('num_rows') or 0:,}"],
        ["rule", numbers["rule"]],
    ]
