"""Answer chat requests with a model folder: what a registered model runs when it is loaded through MLflow, and what
`sft chat` talks to.

MLflow imports this module by name, with the copy of `sft_core` that was logged beside the weights, and calls
`_load_pyfunc`. It knows nothing of MLflow itself.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sft_core.errors import RecipeError

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

    @property
    def is_chat(self) -> bool:
        """Whether it takes messages; a model without a chat template takes plain text alone."""
        return self.tokenizer.chat_template is not None

    @property
    def device(self) -> str:
        """Where it computes: `cuda:0`, `cpu`."""
        return str(self.model.device)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[str]:
        """Answer each row.

        Args:
            model_input: A table with a column `messages` (a list of {role, content} a row) or `prompt` (plain text).
            params: `max_tokens`; `temperature`, where 0 means greedy.
        """
        from sft_core.answering.generate import generate

        options = dict(params or {})
        gen_kwargs = _gen_kwargs(
            int(options.get("max_tokens", DEFAULT_MAX_TOKENS)), float(options.get("temperature", 0.0))
        )
        prompts = [
            self.prompt_ids(list(row["messages"]) if "messages" in row else row["prompt"])
            for row in model_input.to_dict("records")
        ]
        return generate(self.model, self.tokenizer, prompts, batch_size=8, gen_kwargs=gen_kwargs)

    def say(
        self,
        prompt: str | Sequence[Mapping[str, Any]],
        max_tokens: int,
        temperature: float,
        write: Callable[[str], Any],
    ) -> str:
        """Answer one prompt, and hand the answer over word by word while it is made.

        Args:
            prompt: Plain text, or the messages so far.
            max_tokens: At which the answer ends at the latest.
            temperature: 0 means greedy.
            write: Gets the parts of the answer.

        Returns:
            The whole answer, without special tokens.

        Raises:
            RecipeError: if the template does not take these messages.
        """
        import torch

        from sft_core.streaming import Spoken

        spoken = Spoken(self.tokenizer, write)
        ids = torch.tensor([self.prompt_ids(prompt)], device=self.model.device)
        gen_kwargs = {"num_beams": 1, **_gen_kwargs(max_tokens, temperature)}
        with torch.no_grad():
            self.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), streamer=spoken, use_cache=True, **gen_kwargs
            )
        return spoken.text

    def prompt_ids(self, prompt: str | Sequence[Mapping[str, Any]]) -> list[int]:
        """Encode plain text, or messages by the template that the model was trained with.

        Raises:
            RecipeError: if there is no template, or it refuses the messages.
        """
        if isinstance(prompt, str):
            return list(self.tokenizer(prompt)["input_ids"])
        from jinja2 import TemplateError

        if not self.is_chat:
            raise RecipeError("messages: this model has no chat template and takes plain text; send `prompt`")
        messages = [dict(message) for message in prompt]
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            roles = ", ".join(str(message.get("role")) for message in messages)
            raise RecipeError(f"messages: the model's chat template refuses the roles {roles}: {error}") from error
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _gen_kwargs(max_tokens: int, temperature: float) -> dict[str, Any]:
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
    )
    return {"max_new_tokens": max_tokens, **sampling}


def _load_pyfunc(path: str) -> ChatModel:
    """The entry point that MLflow calls with the folder of the weights."""
    return ChatModel(Path(path))
