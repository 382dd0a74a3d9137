"""Chat model of a model folder: the code that MLflow runs for a registered model, and that `sft chat` uses.

MLflow imports this module by name, from the copy of `sft_core` that was logged with the weights, and calls
`_load_pyfunc`. The module itself does not import MLflow.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft_core.registry.chat_prompts import ChatPrompts, Encoded, Prompt, passing_images
from sft_core.store.image_store import ImageStore

if TYPE_CHECKING:
    from sft_core.modeling.pixels import PixelMaker

DEFAULT_MAX_TOKENS = 256


class ChatModel:
    """A model with its tokenizer and the chat template that it was trained with, on the GPU where there is one."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoTokenizer

        from sft_core.modeling import load_trained, to_device

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = to_device(load_trained(folder).eval(), device)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self._prompts = ChatPrompts(folder, self.tokenizer)

    @property
    def is_chat(self) -> bool:
        """True if the model accepts messages; a model without a chat template accepts only plain text."""
        return self._prompts.is_chat

    @property
    def sees_images(self) -> bool:
        """True if messages may contain images."""
        return self._prompts.processor is not None

    @property
    def device(self) -> str:
        """Device of the model: `cuda:0`, `cpu`."""
        return str(self.model.device)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[str]:
        """Answer each row.

        Args:
            model_input: A data frame with a column `messages` (per row a list of {role, content}, where content is a
                text or a list of parts) or `prompt` (plain text).
            params: `max_tokens`, and `temperature`, where 0 means greedy decoding.

        Raises:
            RecipeError: if the model does not accept a prompt.
        """
        from sft_core.evaluation.answering.answer import shown_with
        from sft_core.evaluation.answering.generate import generate

        options = dict(params or {})
        gen_kwargs = _gen_kwargs(
            int(options.get("max_tokens", DEFAULT_MAX_TOKENS)), float(options.get("temperature", 0.0))
        )
        with passing_images() as store:
            encoded = [
                self.encode(list(row["messages"]) if "messages" in row else row["prompt"], store)
                for row in model_input.to_dict("records")
            ]
            shown = shown_with(self._pixels(store), [images for _, images in encoded])
            prompts = [ids for ids, _ in encoded]
            return generate(self.model, self.tokenizer, prompts, batch_size=8, gen_kwargs=gen_kwargs, shown_with=shown)

    def say(
        self,
        prompt: Prompt,
        max_tokens: int,
        temperature: float,
        write: Callable[[str], Any],
    ) -> str:
        """Answer one prompt, and stream the answer word by word.

        Args:
            prompt: Plain text, or the messages of the conversation so far.
            max_tokens: Maximum number of tokens of the answer.
            temperature: Sampling temperature; 0 means greedy decoding.
            write: Called with each part of the answer.

        Returns:
            The whole answer, without special tokens.

        Raises:
            RecipeError: if the model does not accept the prompt.
        """
        import torch

        from sft_core.evaluation.answering.answer import shown_with
        from sft_core.registry.streaming import Spoken

        spoken = Spoken(self.tokenizer, write)
        with passing_images() as store:
            encoded, images = self.encode(prompt, store)
            ids = torch.tensor([encoded])
            shown = shown_with(self._pixels(store), [images])
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **(shown([0], ids) if shown else {})}
        on_device = {name: value.to(self.model.device) for name, value in inputs.items()}
        gen_kwargs = {"num_beams": 1, **_gen_kwargs(max_tokens, temperature)}
        with torch.no_grad():
            self.model.generate(**on_device, streamer=spoken, use_cache=True, **gen_kwargs)
        return spoken.text

    def encode(self, prompt: Prompt, store: ImageStore) -> Encoded:
        """Encode plain text, or messages with the model's chat template, and write images into the store.

        Raises:
            RecipeError: if messages are sent and there is no chat template or it rejects them, if an image cannot be
                read, or if the model accepts no images.
        """
        return self._prompts.encode(prompt, store)

    def _pixels(self, store: ImageStore) -> "PixelMaker | None":
        from sft_core.modeling.pixels import PixelMaker

        return PixelMaker.of(self._prompts.processor, store.folder)


def _gen_kwargs(max_tokens: int, temperature: float) -> dict[str, Any]:
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
    )
    return {"max_new_tokens": max_tokens, **sampling}


def _load_pyfunc(path: str) -> ChatModel:
    """Load the model; MLflow calls this entry point with the folder of the weights."""
    return ChatModel(Path(path))
