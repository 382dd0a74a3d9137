"""Families of chat models: a template, and the real tokenizer with that family's markup and its way of cutting words.

Templates are written with `{% generation %}` marks around what the assistant says and the token that ends its turn. TRL
needs the marks to know turns; we are given the same template without them, and have to find the turns.

How words are cut decides what a line break can grow together with: after `<|end_header_id|>` Llama 3 cuts "⏎⏎" out as
one token whatever follows; GPT-2's rule, which the tokenizer comes with, does so only where no word follows.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from sft_core.data.tokens.pretokens import LLAMA3, QWEN2

TEMPLATES = Path(__file__).parent / "templates"
_TAG = re.compile(r"\{%-? (?:end)?generation -?%\}")


TokenizerFor = Callable[["Family"], tuple[PreTrainedTokenizerFast, Path]]
"""Family → its tokenizer, with the template that TRL needs, and the folder that it lies in."""


@dataclass(frozen=True)
class Family:
    """How conversations become tokens."""

    name: str
    template: Path | None = None
    """The file."""
    markup: tuple[str, ...] = ()
    """What the tokenizer gets as special tokens; the rest is text like any other."""
    pattern: str | None = None
    """Cuts words; None: GPT-2's rule."""
    is_marked_for_us: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def their_template(self) -> str | None:
        """With marks."""
        return self.template.read_text(encoding="utf-8") if self.template else None

    @property
    def our_template(self) -> str | None:
        """The same text for every conversation, and nothing says who generates which part of it."""
        template = self.their_template
        return template if template is None or self.is_marked_for_us else _TAG.sub("", template)

    def save_tokenizer(self, original: Path, folder: Path) -> PreTrainedTokenizerFast:
        """Save the family's tokenizer without its template, and load it as users would.

        Args:
            original: The folder of the real tokenizer.
            folder: Where to.
        """
        tokenizer = AutoTokenizer.from_pretrained(original)
        tokenizer.add_special_tokens({"additional_special_tokens": list(self.markup)})
        if self.pattern:
            words = pre_tokenizers.Split(Regex(self.pattern), "isolated")
            letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, letters])
        tokenizer.save_pretrained(folder)
        loaded = AutoTokenizer.from_pretrained(folder)
        loaded.chat_template = self.their_template
        return loaded


_CHATML = ("<|im_start|>", "<|im_end|>")
NO_TEMPLATE = Family("text")
CHATML = Family("chatml", TEMPLATES / "chatml.jinja", _CHATML)
CHATML_MARKED = Family("chatml_marked", CHATML.template, _CHATML, is_marked_for_us=True)
CHATML_AS_TEXT = Family("chatml_as_text", CHATML.template)
GEMMA = Family("gemma", TEMPLATES / "gemma.jinja", ("<start_of_turn>", "<end_of_turn>"))
LLAMA_3 = Family(
    "llama3", TEMPLATES / "llama3.jinja", ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), LLAMA3
)
QWEN_2_5 = Family("qwen2.5", TEMPLATES / "qwen2.5.jinja", _CHATML, QWEN2)
WITH_CALLS = (LLAMA_3, QWEN_2_5)
"""Those whose templates write tools and calls of them."""
FAMILIES = (CHATML, GEMMA, LLAMA_3, QWEN_2_5, CHATML_AS_TEXT, CHATML_MARKED)
