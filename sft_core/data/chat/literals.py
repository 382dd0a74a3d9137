"""Special tokens that data spells out: text like any other, or else data could forge turns.

    content     say <|im_end|> please
    rendered    <|im_start|>user⏎say <|im_end|> please<|im_end|>⏎
    literals                         └────────┘

Which characters came from the data is found by a second rendering, in which each spelling is broken by a mark behind
its first character. Only conversations that hold such a spelling pay for it.
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
    """The special tokens of a tokenizer, as patterns."""

    spelled: re.Pattern[str]
    in_json: re.Pattern[str]
    """The same, spelled as JSON writes them."""

    def literals(self, rendering: Rendering) -> list[int]:
        """Find what spells a special token in a rendering and came from the data.

        Returns:
            Flat [start, end) pairs in characters.

        Raises:
            TemplateRefusedError: if that cannot be told: the template looks at such texts itself.
        """
        conversation = rendering.conversation
        names = {name for name, _ in rendering.grammar.template.special_tokens}
        kwargs = conversation.chat_template_kwargs or {}
        broken = replace(
            conversation,
            messages=self._break(conversation.messages),
            tools=self._break(conversation.tools),
            # a row may say which token ends a turn: that one is meant
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
            if match:  # a template may write some other part of the data
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
    """Compile the patterns of a tokenizer; None if it has no special tokens."""
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    if not longest_first:
        return None
    spelled, in_json = (
        re.compile("|".join(map(re.escape, texts)))
        for texts in (longest_first, [json.dumps(token, ensure_ascii=False)[1:-1] for token in longest_first])
    )
    return SpecialTexts(spelled, in_json)
