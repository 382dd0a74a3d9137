"""From records to examples: what is each row, and is it usable at all?

    {"prompt": "2+2=", "completion": "4"}            →  TextExample(prompt "2+2=", completion "4")
    {"messages": [{"role": "user", …}, …]}           →  Conversation(…)
    {"prompt": "2+2=", "completion": null}           →  rejected: `completion` is null, needed for prompt_completion

Every row is looked at by itself, never the first one for all. What always holds: rows in = rows out + rows rejected,
and a rejection names source, row and reason. The room also decides each row's split, because from here on both splits
go the same way.
"""

from sft_core.formats.config import FormatsConfig
from sft_core.formats.detect import describe_verdict, detect

__all__ = ["FormatsConfig", "describe_verdict", "detect"]
