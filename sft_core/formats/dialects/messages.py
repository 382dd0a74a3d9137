"""Conversational language modelling: a list of `{role, content}` messages, as TRL and the OpenAI API write them."""

from sft_core.formats.dialects.dialect import Dialect, Fields, messages_of
from sft_core.formats.dialects.template_columns import chat_template_kwargs_of, tools_of
from sft_core.records import Conversation


def _convert(fields: Fields) -> Conversation:
    messages = messages_of(fields["messages"], "messages")
    return Conversation(messages, None, tools_of(fields), chat_template_kwargs_of(fields))


MESSAGES = Dialect("messages", "conversational language modelling: `messages`", frozenset({"messages"}), _convert)
