"""Answering of prompts and scoring of the answers, which training and evaluation share.

    prompts ──(each setting of gen_kwargs)──▶ answers ──cut at stop_sequences──▶ metrics ──▶ scores, and rows of samples

    gen_kwargs: {max_new_tokens: 64, do_sample: true, temperature: [0.5, 1.0]}      two settings
    metrics: [exact_match, rougeL, my_metrics.py:reward]

    {"exact_match/temperature:0.5": 0.61, "exact_match/temperature:1.0": 0.48, "exact_match": 0.61, …}

Each prompt is always answered once per setting, however many processes share the work. Answers are returned in the
order of the prompts, and greedy answers do not depend on the batch size.

Importing this package does not import torch: `sft_core.evaluation.answering.answer` is imported only where it runs.
"""

from sft_core.evaluation.answering.config import AnsweringConfig
from sft_core.evaluation.answering.gen_kwargs import Setting, settings_of
from sft_core.evaluation.answering.metric_names import MetricNames
from sft_core.evaluation.answering.prompts import Prompts
from sft_core.evaluation.answering.scoring import Scoring, locate_scoring
from sft_core.evaluation.answering.text_metrics import is_exact_match

__all__ = [
    "AnsweringConfig",
    "MetricNames",
    "Prompts",
    "Scoring",
    "Setting",
    "is_exact_match",
    "locate_scoring",
    "settings_of",
]
