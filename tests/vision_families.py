"""Four families of vision-language models, so small that a test can train them, each with a processor and a template
as its real checkpoints have them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import Gemma3Processor, Idefics3Processor, LlavaOnevisionProcessor, PreTrainedTokenizerFast
from transformers import Qwen2_5_VLProcessor as QwenProcessor
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from sft_core.pretrained.processor import without_videos

END, PAD = "<|im_end|>", "<|pad|>"
_TEMPLATE = """{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{%- if message['content'] is string %}
{{ '\\n' + message['content'] }}
{%- else %}
{{ '\\n' }}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}IMAGE{%- elif part['type'] == 'text' -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant{{ '\\n' }}{%- endif -%}"""
_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
}
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


@dataclass(frozen=True)
class Family:
    """How to make one."""

    name: str
    image: str
    """What the template writes for an image."""
    specials: tuple[str, ...]
    make_processor: Callable[[Any, str], Any]
    config: dict[str, Any]
    """`model.config`, but for the ids of tokens."""
    token_ids: dict[str, str]
    """Field of the configuration → the token whose id it is."""
    named_tokens: dict[str, str]

    def save_processor(self, folder: Path) -> Path:
        """Write tokenizer, processor and template into a folder."""
        self.processor().save_pretrained(folder)
        return folder

    def processor(self) -> Any:
        """As transformers would load it."""
        template = _TEMPLATE.replace("IMAGE", self.image)
        return self.make_processor(_tokenizer(self.specials, self.named_tokens), template)

    def model_config(self) -> dict[str, Any]:
        """`model.config` of a recipe with `init: config`."""
        tokenizer = self.processor().tokenizer
        ids = {field: tokenizer.convert_tokens_to_ids(token) for field, token in self.token_ids.items()}
        text = {**self.config["text_config"], "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        return {**self.config, **ids, "text_config": text}


def _tokenizer(specials: tuple[str, ...], named: dict[str, str]) -> PreTrainedTokenizerFast:
    """One token a byte, and the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=END, pad_token=PAD, extra_special_tokens=named or None
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", *specials]})
    return tokenizer


def _qwen(tokenizer: Any, template: str) -> Any:
    images = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=28 * 28 * 6, patch_size=14)
    return without_videos(QwenProcessor)(images, tokenizer, chat_template=template)


def _onevision(tokenizer: Any, template: str) -> Any:
    pinpoints = [[28, 56], [56, 28], [56, 56]]
    images = LlavaOnevisionImageProcessorPil(size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints)
    return without_videos(LlavaOnevisionProcessor)(
        images, tokenizer, num_image_tokens=4, vision_feature_select_strategy="full", chat_template=template
    )


def _idefics(tokenizer: Any, template: str) -> Any:
    images = Idefics3ImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    return Idefics3Processor(images, tokenizer, image_seq_len=1, chat_template=template)


def _gemma(tokenizer: Any, template: str) -> Any:
    images = Gemma3ImageProcessorPil(size={"height": 28, "width": 28})
    return Gemma3Processor(images, tokenizer, image_seq_length=4, chat_template=template)


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "qwen2_5_vl",
            "<|vision_start|><|image_pad|><|vision_end|>",
            ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
            _qwen,
            {
                "model_type": "qwen2_5_vl",
                "text_config": {
                    **_TEXT,
                    "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
                },
                "vision_config": {
                    "hidden_size": 16,
                    "intermediate_size": 32,
                    "depth": 2,
                    "num_heads": 2,
                    "out_hidden_size": 32,
                    "patch_size": 14,
                    "fullatt_block_indexes": [1],
                    "window_size": 56,
                },
            },
            {
                "image_token_id": "<|image_pad|>",
                "video_token_id": "<|video_pad|>",
                "vision_start_token_id": "<|vision_start|>",
                "vision_end_token_id": "<|vision_end|>",
            },
            {},
        ),
        Family(
            "llava_onevision",
            "<image>",
            ("<image>", "<video>"),
            _onevision,
            {
                "model_type": "llava_onevision",
                "text_config": {"model_type": "qwen2", **_TEXT},
                "vision_config": {"model_type": "siglip_vision_model", **_VISION, "vision_use_head": False},
                "image_grid_pinpoints": [[28, 56], [56, 28], [56, 56]],
                "vision_feature_select_strategy": "full",
                "vision_feature_layer": -1,
            },
            {"image_token_id": "<image>", "video_token_id": "<video>"},
            {},
        ),
        Family(
            "idefics3",
            "<image>",
            (
                "<fake_token_around_image>",
                "<image>",
                "<end_of_utterance>",
                "<global-img>",
                *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
            ),
            _idefics,
            {
                "model_type": "idefics3",
                "text_config": {"model_type": "llama", **_TEXT},
                "vision_config": _VISION,
                "scale_factor": 2,
            },
            {"image_token_id": "<image>"},
            {},
        ),
        Family(
            "gemma3",
            "<start_of_image>",
            (),
            _gemma,
            {
                "model_type": "gemma3",
                "text_config": {**_TEXT, "head_dim": 16, "sliding_window": 64},
                "vision_config": {**_VISION, "vision_use_head": False},
                "mm_tokens_per_image": 4,
            },
            {
                "image_token_id": "<image_soft_token>",
                "boi_token_id": "<start_of_image>",
                "eoi_token_id": "<end_of_image>",
            },
            {
                "boi_token": "<start_of_image>",
                "eoi_token": "<end_of_image>",
                "image_token": "<image_soft_token>",
            },
        ),
    )
}


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """An image of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8))
