"""Detection of formats: turns records into examples, and rejects rows that cannot be used.

    {"prompt": "2+2=", "completion": "4"}            →  TextExample(prompt "2+2=", completion "4")
    {"messages": [{"role": "user", …}, …]}           →  Conversation(…)
    {"conversations": [{"from": "human", …}, …]}     →  the same Conversation, with the same `example_id`
    {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]} →  TokenExample(ids (5, 6, 7), mask (0, 1, 1))
    "any text", ["2+2=", "4"]                        →  TextExample(…), as trlX has them
    {"prompt": "2+2=", "completion": null}           →  rejected: `completion` is null, needed for prompt_completion

Every row is examined by itself; the first row does not decide for all. One invariant holds: rows in = examples + rows
rejected + rows skipped (by the recipe's own selection or transform), and a rejection names source, row and reason. This
stage also gives each example its identity (`example_id`, `prompt_id`) and its split, because from here on both splits
are processed in the same way.
"""

from sft_core.data.formats.config import FormatsConfig
from sft_core.data.formats.detect import detect
from sft_core.data.formats.verdict import Verdict, describe_verdict, total_verdict

__all__ = ["FormatsConfig", "Verdict", "describe_verdict", "detect", "total_verdict"]
