"""A tokenizer of three words, for what the real one does not do: write a beginning or an end token by itself."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = ["<unk>", "<s>", "</s>", "two", "and"]


def word_tokenizer(layout: str = "$A") -> PreTrainedTokenizerFast:
    """Make it.

    Args:
        layout: Of a text and the special tokens around it, for example `<s> $A`.
    """
    words = {word: token for token, word in enumerate(WORDS)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(single=layout, special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def save_word_tokenizer(folder: Path, layout: str) -> PreTrainedTokenizerFast:
    """Save it and load it as users would."""
    word_tokenizer(layout).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)
