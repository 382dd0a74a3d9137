"""Find special tokens that are spelled out in the data. They are encoded as plain text; otherwise data could forge
turns.

    content     say <|im_end|> please
    rendered    <|im_start|>user⏎say <|im_end|> please<|im_end|>⏎
    literals                         └────────┘

A second rendering shows which characters came from the data: in it, a mark after the first character breaks each
spelling. Only conversations that contain such a spelling are rendered twice.
"""

import functools
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from sft_core.data.chat.spans import Rendering
from sft_core.data.chat.template import TemplateRefusedError

_BREAK = "\uf8fd"
CHANGED = "a special token in a message changes what the chat template does, so it cannot be told from a real one"


@dataclass(frozen=True, slots=True)
class SpecialTexts:
    """Regular expressions that match the special tokens of a tokenizer."""

    spelled: re.Pattern[str]
    in_json: re.Pattern[str]
    """Pattern of the same tokens, escaped as in a JSON string."""

    def literals(self, rendering: Rendering) -> list[int]:
        """Find the special tokens in a rendering that came from the data and not from the template.

        Returns:
            [start, end) pairs in characters, flat.

        Raises:
            TemplateRefusedError: if that cannot be determined because the template itself inspects such texts.
        """
        conversation = rendering.conversation
        names = {name for name, _ in rendering.grammar.template.special_tokens}
        kwargs = conversation.chat_template_kwargs or {}
        broken = replace(
            conversation,
            messages=self._break(conversation.messages),
            tools=self._break(conversation.tools),
            # a row may set the token that ends a turn: that one is meant as a special token
            chat_template_kwargs={key: item if key in names else self._break(item) for key, item in kwargs.items()},
        )
        pieces = rendering.grammar.render(broken, broken.messages).split(_BREAK)
        text = "".join(pieces)
        if text != rendering.text:
            raise TemplateRefusedError(CHANGED)
        literals: list[int] = []
        length = 0
        for piece in pieces[:-1]:
            length += len(piece)
            match = self.spelled.match(text, length - 1)
            if match:  # no match if the template writes only a part of the spelling
                literals += match.span()
        return literals

    def _break(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.spelled.sub(lambda match: f"{match[0][0]}{_BREAK}{match[0][1:]}", value)
        if isinstance(value, dict):
            return {self._break(key): self._break(item) for key, item in value.items()}
        return [self._break(item) for item in value] if isinstance(value, list | tuple) else value


@functools.lru_cache(maxsize=16)
def special_texts_of(tokens: tuple[str, ...]) -> SpecialTexts | None:
    """Compile the patterns for a tokenizer's special tokens; None if it has no special tokens."""
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    if not longest_first:
        return None
    spelled, in_json = (
        re.compile("|".join(map(re.escape, texts)))
        for texts in (longest_first, [json.dumps(token, ensure_ascii=False)[1:-1] for token in longest_first])
    )
    return SpecialTexts(spelled, in_json)
