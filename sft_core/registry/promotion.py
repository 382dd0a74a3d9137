"""The registry section of the recipe, and when a version becomes champion: a decision over plain values.

A version has to be good enough by itself (its score is a number, and meets the threshold), comparable with the present
champion (same held-out rows, same template, same tokenizer), better by more than `min_gain`, and, where both were
scored row by row, better by more than chance: the interval of the paired bootstrap over those rows lies above 0. These
are two questions, so they have two fields: `min_gain` says what a gain has to be worth, `confidence` how sure it is
that there is one.

    champion 1.900, version 1.895, interval of the gain -0.002 to 0.012  →  kept back, `noise`
    champion 1.900, version 1.895, interval of the gain  0.001 to 0.009  →  promoted, `better`
    the same with min_gain 0.01                                          →  kept back, `small gain`
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from sft_core.evaluation.bootstrap import Interval
from sft_core.evaluation.paired_rows import PairedRows
from sft_core.section import Section

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"

Rule = Literal[
    "missing",
    "not finite",
    "below threshold",
    "rolled back",
    "is champion",
    "no champion",
    "other template",
    "other tokenizer",
    "other data",
    "champion unmeasured",
    "worse",
    "equal",
    "small gain",
    "too few rows",
    "noise",
    "better",
]
"""What a verdict rests on."""
LOST = frozenset({"worse", "equal", "small gain", "too few rows", "noise"})
"""Measured against the champion, and not promoted."""


Direction = Literal["minimize", "maximize"]
LESS_IS_BETTER = ("loss", "perplexity", "entropy")


def less_is_better(metric: str) -> bool:
    """Whether a metric's name says that less of it is better."""
    return any(word in metric for word in LESS_IS_BETTER)


class GateConfig(Section):
    """What a version needs for the alias `champion`."""

    metric: str = "eval_loss"
    """A number of the scorecard."""
    direction: Direction = "minimize"
    """Whether less or more of it is better."""
    threshold: float | None = None
    """The metric has to be at least this good."""
    min_gain: float = Field(default=0.0, ge=0)
    """By how much it has to beat the present champion on the same held-out data; a tie keeps the champion."""
    confidence: float | None = Field(default=0.95, gt=0, lt=1)
    """How sure the gain has to be: the paired bootstrap interval of this confidence, over the held-out rows that both
    were scored on, has to lie above 0. `null`: the numbers alone decide. So they do where there is no evidence by row:
    metrics of the whole corpus (`bleu`) have none."""
    allow_other_template: bool = False
    """Whether a champion with another chat template may be compared, on the same held-out rows."""
    allow_other_tokenizer: bool = False
    """Whether a champion with another tokenizer may be compared, on the same held-out rows. Losses per token of two
    tokenizers say little about each other; metrics of answers do."""


class RegistryConfig(Section):
    """Where the model is registered."""

    model_name: str | None = Field(default=None, pattern=r"^[^/:.%\"']+$")
    """In MLflow's registry; by default the recipe's name."""
    experiment: str = "sft"
    """MLflow experiment of the run."""
    promote: bool = True
    """Whether the gate is asked when the model is registered. Without it the version is registered and no alias moves;
    `sft promote` asks the gate at any time."""
    gate: GateConfig = GateConfig()


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a version when it is judged. A digest is None where it is not known."""

    version: str
    scores: Mapping[str, float] = field(default_factory=dict)
    """Its scorecard."""
    data_digest: str | None = None
    """Of the packed held-out data: its tokens, in order."""
    rows_digest: str | None = None
    """Of the held-out rows, whatever template and tokenizer made of them."""
    template_digest: str | None = None
    tokenizer_digest: str | None = None
    rolled_back: str | None = None
    """When, by whom and from what it was taken back; None if it was not."""


@dataclass(frozen=True, slots=True)
class Gain:
    """By how much a version is better; negative if it is worse, whatever the direction of the metric."""

    value: float
    low: float | None = None
    """Of the interval; None without evidence by row."""
    high: float | None = None
    num_rows: int = 0
    """That both were scored on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a version becomes champion, and all that was looked at."""

    is_promoted: bool
    rule: Rule
    reason: str
    """The same in words, with the numbers."""
    gate: GateConfig
    version: Standing
    champion: Standing | None
    gain: Gain | None = None
    forced: str | None = None
    """Why somebody overruled the gate, whose own rule stays in `rule`."""

    @property
    def is_champion(self) -> bool:
        """Whether the version is champion after this, by this verdict or already."""
        return self.is_promoted or self.rule == "is champion"

    @property
    def in_words(self) -> str:
        """For a tag and for people."""
        return ("promoted: " if self.is_promoted else "kept back: ") + self.reason

    def as_json(self) -> dict[str, Any]:
        """JSON values; numbers that are not finite as null."""
        metric = self.gate.metric
        return {
            "is_promoted": self.is_promoted,
            "rule": self.rule,
            "reason": self.reason,
            "forced": self.forced,
            "gate": self.gate.model_dump(mode="json"),
            "score": _json_number(self.version.scores.get(metric)),
            "champion_score": _json_number(self.champion.scores.get(metric)) if self.champion else None,
            "gain": {name: _json_number(value) for name, value in dataclasses.asdict(self.gain).items()}
            if self.gain
            else None,
            "version": _json_standing(self.version),
            "champion": _json_standing(self.champion) if self.champion else None,
        }


def decide(gate: GateConfig, version: Standing, champion: Standing | None, rows: PairedRows | None = None) -> Verdict:
    """Apply the gate.

    Args:
        gate: The rule.
        version: The one to be judged.
        champion: The present one; None if there is none.
        rows: What both add to the score row by row, the champion first; None without evidence by row.
    """
    found = _alone(gate, version, champion)
    if found is None and champion is None:
        found = ("no champion", f"{gate.metric} {version.scores[gate.metric]:.6g}; there was no champion")
    gain = None
    if found is None and champion is not None:
        found = _comparable(gate, version, champion)
        if found is None:
            gain = _gain(gate, version, champion, rows)
            found = _weigh(gate, version, champion, gain)
    assert found is not None
    rule, reason = found
    return Verdict(rule in ("better", "no champion"), rule, reason, gate, version, champion, gain)


def force(verdict: Verdict, reason: str) -> Verdict:
    """Overrule a verdict that kept a version back; one that promoted it stays as it is."""
    if verdict.is_champion:
        return verdict
    words = f"forced ({reason}); the gate would have kept it back, {verdict.rule}: {verdict.reason}"
    return dataclasses.replace(verdict, is_promoted=True, reason=words, forced=reason)


def fewest_rows(confidence: float) -> int:
    """How many rows can show anything: if all of so many got better, that is no chance with this confidence (the sign
    test, two-sided: 2 · 2^-rows ≤ 1 - confidence). The bootstrap alone would take one row for certain."""
    return math.ceil(1 - math.log2(1 - confidence))


Found = tuple[Rule, str]


def _alone(gate: GateConfig, version: Standing, champion: Standing | None) -> Found | None:
    """Look at what does not hang on the champion."""
    if champion is not None and champion.version == version.version:
        return "is champion", f"version {version.version} is the champion already"
    score = version.scores.get(gate.metric)
    if score is None:
        return "missing", f"{gate.metric} is missing: nothing to promote on"
    if not math.isfinite(score):
        return "not finite", f"{gate.metric} is {score}: nothing to promote on"
    if gate.threshold is not None and _sign(gate) * (score - gate.threshold) < 0:
        return (
            "below threshold",
            f"{gate.metric} {score:.6g} misses the threshold {gate.threshold:.6g} ({gate.direction})",
        )
    if version.rolled_back is not None:
        return "rolled back", f"it was champion and was taken back ({version.rolled_back})"
    return None


def _comparable(gate: GateConfig, version: Standing, champion: Standing) -> Found | None:
    """Look for what makes the two scores numbers about different things."""
    has_other_template = _differ(version.template_digest, champion.template_digest)
    has_other_tokenizer = _differ(version.tokenizer_digest, champion.tokenizer_digest)
    if has_other_template and not gate.allow_other_template:
        digests = _both(version.template_digest, champion.template_digest)
        return "other template", f"{digests} of chat templates: registry.gate.allow_other_template allows it"
    if has_other_tokenizer and not gate.allow_other_tokenizer:
        digests = _both(version.tokenizer_digest, champion.tokenizer_digest)
        return "other tokenizer", f"{digests} of tokenizers: registry.gate.allow_other_tokenizer allows it"
    is_same = not _differ(version.data_digest, champion.data_digest)
    if not is_same and (has_other_template or has_other_tokenizer):  # allowed, so the tokens are others
        is_same = not _differ(version.rows_digest, champion.rows_digest)
    if not is_same:
        digests = _both(version.data_digest, champion.data_digest)
        return "other data", f"{digests} of held-out data: the champion was not measured on this data"
    score = champion.scores.get(gate.metric)
    if score is None or not math.isfinite(score):
        return "champion unmeasured", f"the champion's {gate.metric} is {'missing' if score is None else score}"
    return None


def _gain(gate: GateConfig, version: Standing, champion: Standing, rows: PairedRows | None) -> Gain:
    """By the rows that both have; without them, by the two scores."""
    sign = _sign(gate)
    if rows is None or gate.confidence is None:
        return Gain(sign * (version.scores[gate.metric] - champion.scores[gate.metric]))
    if not rows.is_measured:
        return Gain(math.nan, math.nan, math.nan, len(rows))
    found: Interval = rows.gain(gate.confidence)
    low, high = sorted((sign * found.low, sign * found.high))
    return Gain(sign * found.value, low, high, len(rows))


def _weigh(gate: GateConfig, version: Standing, champion: Standing, gain: Gain) -> Found:
    """Ask of a gain whether it is one, is worth it, and is more than chance."""
    score, before = version.scores[gate.metric], champion.scores[gate.metric]
    numbers = (
        f"{gate.metric} {score:.6g} against {before:.6g} of the champion, version {champion.version}: gain "
        f"{gain.value:.6g}, needed more than {gate.min_gain:.6g}; {_evidence(gate, gain)}"
    )
    return _rule(gate, gain), numbers


def _rule(gate: GateConfig, gain: Gain) -> Rule:
    has_rows = gain.low is not None and gate.confidence is not None
    if has_rows and gain.num_rows < fewest_rows(gate.confidence or 0.0):
        return "too few rows"
    if gain.value == 0:
        return "equal"
    if not gain.value > 0:
        return "worse"
    if gain.value <= gate.min_gain:
        return "small gain"
    if gain.low is not None and not gain.low > 0:
        return "noise"
    return "better"


def _evidence(gate: GateConfig, gain: Gain) -> str:
    if gain.low is None or gate.confidence is None:
        why = "no evidence by row" if gate.confidence is not None else "no confidence is asked for"
        return f"{why}: decided by the numbers alone"
    interval = f"{gate.confidence:.4g} interval of it {gain.low:.6g} to {gain.high:.6g} over {gain.num_rows:,} rows"
    fewest = fewest_rows(gate.confidence)
    if gain.num_rows < fewest:
        return f"{interval}, and fewer than {fewest} show nothing"
    return interval if gain.low > 0 else f"{interval}: noise within the interval" if gain.value > 0 else interval


def _sign(gate: GateConfig) -> float:
    return 1.0 if gate.direction == "maximize" else -1.0


def _differ(first: str | None, second: str | None) -> bool:
    """Two digests of which one is not known are not known to be the same."""
    return first is None or first != second


def _both(version: str | None, champion: str | None) -> str:
    return f"digest {version or 'unknown'} against the champion's {champion or 'unknown'}"


def _json_number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _json_standing(standing: Standing) -> dict[str, Any]:
    known = dataclasses.asdict(standing)
    return {**known, "scores": {name: _json_number(score) for name, score in standing.scores.items()}}
