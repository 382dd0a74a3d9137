"""Metrics of translation and summarization, from the libraries that papers use to report them.

BLEU and chrF (sacrebleu, 0 to 100) are properties of all answers together: their score is not the mean of the values of
single answers. ROUGE (rouge-score, the F-measure, 0 to 1, without stemming) is a mean.
"""

import statistics
from collections.abc import Sequence
from typing import Any

from sft_core.evaluation.answering.answers import Measure

Pairs = Sequence[tuple[str, str]]
"""Pairs of output and reference."""


def bleu(name: str, pairs: Pairs) -> Measure:
    """Compute corpus BLEU with sacrebleu's defaults; for one answer, BLEU over the n-gram orders that it has."""
    from sacrebleu.metrics import BLEU

    return _of_corpus(name, pairs, BLEU(), BLEU(effective_order=True))


def chrf(name: str, pairs: Pairs) -> Measure:
    """Compute chrF2 with sacrebleu's defaults, of the corpus and of each answer."""
    from sacrebleu.metrics import CHRF

    return _of_corpus(name, pairs, CHRF(), CHRF())


def rouge(name: str, pairs: Pairs) -> Measure:
    """Compute the mean of `rouge1`, `rouge2` or `rougeL` over all answers."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([name])
    values = [float(scorer.score(reference, output)[name].fmeasure) for output, reference in pairs]
    return Measure(name, statistics.fmean(values), values)


def _of_corpus(name: str, pairs: Pairs, of_all: Any, of_one: Any) -> Measure:
    outputs, references = [output for output, _ in pairs], [reference for _, reference in pairs]
    values = [float(of_one.sentence_score(output, [reference]).score) for output, reference in pairs]
    return Measure(name, float(of_all.corpus_score(outputs, [references]).score), values, is_mean=False)
