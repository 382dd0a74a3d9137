"""Small byte-level tokenizers of the kinds that there are."""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from sft_core.data.tokens import Encoder
from sft_core.data.tokens.pretokens import QWEN2
from tests.conftest import SENTENCES

USER, END = "<|user|>", "<|end|>"
WORDS = [*SENTENCES, "def f(x):\n    return x  # two\n", "Grüße, 漢字 and 😀 emoji: é ß ½", "aaaa   bbbb\n\n\n"]


def like_gpt_neox() -> Tokenizer:
    """GPT-2's words, composed characters, and added tokens for runs of spaces."""
    backend = _trained(pre_tokenizers.ByteLevel(add_prefix_space=False), processors.ByteLevel(trim_offsets=True))
    backend.normalizer = normalizers.NFC()
    backend.add_tokens([AddedToken(" " * number, normalized=True) for number in range(8, 1, -1)])
    return backend


def like_llama3() -> Tokenizer:
    """Words by a pattern, a beginning token, and whole words looked up."""
    words = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    frame = processors.TemplateProcessing(single=f"{USER} $A", special_tokens=[(USER, 0)])
    backend = _trained(words, processors.Sequence([processors.ByteLevel(trim_offsets=False), frame]))
    backend.model.ignore_merges = True
    return backend


def encoder(backend: Tokenizer) -> Encoder:
    """Its encoder; `<|end|>` ends a text."""
    return Encoder.of(backend, backend.token_to_id(USER), backend.token_to_id(END))


def _trained(words: pre_tokenizers.PreTokenizer, post_processor: processors.PostProcessor) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = words
    backend.post_processor = post_processor
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=[USER, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(WORDS, trainer)
    return backend
