"""The registry section of the recipe, and the gate that decides over plain values whether a version becomes champion.

A version has to be good enough by itself (its score is finite and meets the threshold), comparable with the present
champion (same held-out rows, same chat template, same tokenizer), and better by more than `min_gain`. Where both were
scored row by row, the gain also has to be significant: the paired bootstrap interval over those rows has to be above 0.
Two fields control these two requirements: `min_gain` sets the size of the gain, `confidence` its certainty.

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
"""The rule that decided a verdict."""
LOST = frozenset({"worse", "equal", "small gain", "too few rows", "noise"})
"""Rules by which a version that was compared with the champion is not promoted."""


Direction = Literal["minimize", "maximize"]
LESS_IS_BETTER = ("loss", "perplexity", "entropy")


def less_is_better(metric: str) -> bool:
    """Return True if a metric's name implies that lower values are better (loss, perplexity, entropy)."""
    return any(word in metric for word in LESS_IS_BETTER)


class GateConfig(Section):
    """Requirements that a version has to meet for the alias `champion`."""

    metric: str = "eval_loss"
    """Metric of the scorecard that the gate compares."""
    direction: Direction = "minimize"
    """Direction in which the metric is better: `minimize` or `maximize`."""
    threshold: float | None = None
    """Value that the metric has to reach, in the given direction. `null`: no threshold."""
    min_gain: float = Field(default=0.0, ge=0)
    """The gain over the present champion on the same held-out data has to be greater than this; a tie keeps the
    champion."""
    confidence: float | None = Field(default=0.95, gt=0, lt=1)
    """Confidence level of the gain: the paired bootstrap interval of this level, over the held-out rows that both were
    scored on, has to be above 0. `null`: only the two scores are compared. The same happens where there are no scores
    per row, as for corpus metrics (`bleu`)."""
    allow_other_template: bool = False
    """Allows the comparison with a champion that has another chat template, on the same held-out rows."""
    allow_other_tokenizer: bool = False
    """Allows the comparison with a champion that has another tokenizer, on the same held-out rows. Losses per token are
    hardly comparable between two tokenizers; metrics of answers are."""


class RegistryConfig(Section):
    """MLflow experiment and registered model of a run."""

    model_name: str | None = Field(default=None, pattern=r"^[^/:.%\"']+$")
    """Name of the model in the MLflow model registry; by default the recipe's name."""
    experiment: str = "sft"
    """MLflow experiment of the run."""
    promote: bool = True
    """Applies the gate when the model is registered. With `false` the version is registered and no alias changes;
    `sft promote` applies the gate at any time."""
    gate: GateConfig = GateConfig()


@dataclass(frozen=True, slots=True)
class Standing:
    """A version's scores and digests, as input of the gate. A digest that is not known is None."""

    version: str
    scores: Mapping[str, float] = field(default_factory=dict)
    """Scorecard of the version."""
    data_digest: str | None = None
    """Digest of the packed held-out data: its tokens, in order."""
    rows_digest: str | None = None
    """Digest of the held-out rows before template and tokenizer."""
    template_digest: str | None = None
    tokenizer_digest: str | None = None
    rolled_back: str | None = None
    """Time and author of this version's roll-back, and the version that replaced it; None if it was not rolled back."""


@dataclass(frozen=True, slots=True)
class Gain:
    """Gain of a version over the champion: positive if it is better, for either direction of the metric."""

    value: float
    low: float | None = None
    """Lower end of the interval; None without scores per row."""
    high: float | None = None
    """Upper end of the interval; None without scores per row."""
    num_rows: int = 0
    """Number of rows that both were scored on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision of the gate about a version, with its inputs."""

    is_promoted: bool
    rule: Rule
    reason: str
    """Explanation of the rule, with the numbers."""
    gate: GateConfig
    version: Standing
    champion: Standing | None
    gain: Gain | None = None
    forced: str | None = None
    """Reason given for overruling the gate; `rule` keeps the gate's own rule. None if it was not overruled."""

    @property
    def is_champion(self) -> bool:
        """True if the version is the champion after this verdict: newly promoted, or champion before."""
        return self.is_promoted or self.rule == "is champion"

    @property
    def in_words(self) -> str:
        """The verdict as one line of text, used in tags and pages."""
        return ("promoted: " if self.is_promoted else "kept back: ") + self.reason

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values; numbers that are not finite become null."""
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
        gate: Requirements of the gate.
        version: The version to be judged.
        champion: The present champion; None if no version has the alias.
        rows: Contribution of each row to the two scores, the champion's first; None without scores per row.
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
    """Overrule a verdict that did not promote a version; a verdict after which it is champion is returned unchanged."""
    if verdict.is_champion:
        return verdict
    words = f"forced ({reason}); the gate would have kept it back, {verdict.rule}: {verdict.reason}"
    return dataclasses.replace(verdict, is_promoted=True, reason=words, forced=reason)


def fewest_rows(confidence: float) -> int:
    """Return the minimum number of rows for a significant gain.

    If all of that many rows improve, the gain is significant at this confidence (two-sided sign test:
    2 · 2^-rows ≤ 1 - confidence). The bootstrap alone would report certainty from a single row.
    """
    return math.ceil(1 - math.log2(1 - confidence))


Found = tuple[Rule, str]


def _alone(gate: GateConfig, version: Standing, champion: Standing | None) -> Found | None:
    """Check the requirements that do not depend on the champion's scores."""
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
    """Check for differences that make the two scores incomparable; None if they are comparable."""
    has_other_template = _differ(version.template_digest, champion.template_digest)
    has_other_tokenizer = _differ(version.tokenizer_digest, champion.tokenizer_digest)
    if has_other_template and not gate.allow_other_template:
        digests = _both(version.template_digest, champion.template_digest)
        return "other template", f"{digests} of chat templates: registry.gate.allow_other_template allows it"
    if has_other_tokenizer and not gate.allow_other_tokenizer:
        digests = _both(version.tokenizer_digest, champion.tokenizer_digest)
        return "other tokenizer", f"{digests} of tokenizers: registry.gate.allow_other_tokenizer allows it"
    is_same = not _differ(version.data_digest, champion.data_digest)
    if not is_same and (has_other_template or has_other_tokenizer):  # the difference is allowed; tokens differ
        is_same = not _differ(version.rows_digest, champion.rows_digest)
    if not is_same:
        digests = _both(version.data_digest, champion.data_digest)
        return "other data", f"{digests} of held-out data: the champion was not measured on this data"
    score = champion.scores.get(gate.metric)
    if score is None or not math.isfinite(score):
        return "champion unmeasured", f"the champion's {gate.metric} is {'missing' if score is None else score}"
    return None


def _gain(gate: GateConfig, version: Standing, champion: Standing, rows: PairedRows | None) -> Gain:
    """Compute the gain from the rows that both have; without scores per row, from the two scores."""
    sign = _sign(gate)
    if rows is None or gate.confidence is None:
        return Gain(sign * (version.scores[gate.metric] - champion.scores[gate.metric]))
    if not rows.is_measured:
        return Gain(math.nan, math.nan, math.nan, len(rows))
    found: Interval = rows.gain(gate.confidence)
    low, high = sorted((sign * found.low, sign * found.high))
    return Gain(sign * found.value, low, high, len(rows))


def _weigh(gate: GateConfig, version: Standing, champion: Standing, gain: Gain) -> Found:
    """Decide whether a gain is positive, large enough and significant."""
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
    """Return True unless both digests are known and equal."""
    return first is None or first != second


def _both(version: str | None, champion: str | None) -> str:
    return f"digest {version or 'unknown'} against the champion's {champion or 'unknown'}"


def _json_number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _json_standing(standing: Standing) -> dict[str, Any]:
    known = dataclasses.asdict(standing)
    return {**known, "scores": {name: _json_number(score) for name, score in standing.scores.items()}}
