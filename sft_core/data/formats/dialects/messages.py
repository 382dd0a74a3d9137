"""Conversational language modelling: a list of `{role, content}` messages, as TRL and the OpenAI API write them."""

from sft_core.data.formats.dialects.conversation_columns import conversation_of
from sft_core.data.formats.dialects.dialect import Dialect, Fields
from sft_core.data.formats.dialects.message_list import messages_of
from sft_core.store.records import Conversation


def _convert(fields: Fields) -> Conversation:
    return conversation_of(fields, messages_of(fields["messages"], "messages"))


MESSAGES = Dialect("messages", "conversational language modelling: `messages`", (("messages",),), _convert)
