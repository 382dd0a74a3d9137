"""From examples to text: render each conversation, and say which characters of it the loss looks at.

    user "2+2?", assistant "4"      (ChatML, assistant_only_loss)

    <|im_start|>user⏎2+2?<|im_end|>⏎<|im_start|>assistant⏎4<|im_end|>⏎
                                                          └─ span ──┘

What always holds: the text is what the template renders; a span holds the assistant's words and the token that ends
the turn, nothing of the next header; a row whose template makes exact spans impossible is rejected and says so.
"""

from sft_core.chat.choose import TemplateRef, chat_template_of, locate_template
from sft_core.chat.config import ChatConfig
from sft_core.chat.render import render
from sft_core.chat.template import ChatTemplate

__all__ = ["ChatConfig", "ChatTemplate", "TemplateRef", "chat_template_of", "locate_template", "render"]
