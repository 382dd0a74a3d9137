"""Prompt and completion: two strings, or two lists of messages."""

from sft_core.formats.dialects.dialect import Dialect, Fields, RowRejectedError, messages_of, text_of
from sft_core.formats.dialects.template_columns import chat_template_kwargs_of, tools_of
from sft_core.records import Conversation, Example, TextExample


def _convert(fields: Fields) -> Example:
    if isinstance(fields["prompt"], list) or isinstance(fields["completion"], list):
        prompt = messages_of(fields["prompt"], "prompt")
        completion = messages_of(fields["completion"], "completion")
        return Conversation(prompt + completion, len(prompt), tools_of(fields), chat_template_kwargs_of(fields))
    prompt_text, completion_text = text_of(fields, "prompt"), text_of(fields, "completion")
    if not prompt_text and not completion_text:
        raise RowRejectedError("`prompt` and `completion` are both empty")
    return TextExample(prompt_text, completion_text, has_prompt=True)


PROMPT_COMPLETION = Dialect(
    "prompt_completion", "prompt-completion: `prompt` and `completion`", frozenset({"prompt", "completion"}), _convert
)
