"""Answer chat requests with a model folder: what a registered model runs when it is loaded through MLflow.

MLflow imports this module by name, with the copy of `sft_core` that was logged beside the weights, and calls
`_load_pyfunc`. It knows nothing of MLflow itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEFAULT_MAX_TOKENS = 256


class ChatModel:
    """A model with its tokenizer and the chat template that it was trained with."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        from sft_core.modeling import load_trained

        self._model = load_trained(folder).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[str]:
        """Answer each row.

        Args:
            model_input: A table with a column `messages` (a list of {role, content} a row) or `prompt` (plain text).
            params: `max_tokens`; `temperature`, where 0 means greedy.
        """
        from sft_core.answering.generate import generate

        options = dict(params or {})
        temperature = float(options.get("temperature", 0.0))
        sampling: dict[str, Any] = (
            {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
        )
        gen_kwargs = {"max_new_tokens": int(options.get("max_tokens", DEFAULT_MAX_TOKENS)), **sampling}
        prompts = [self._prompt_ids(row) for row in model_input.to_dict("records")]
        return generate(self._model, self._tokenizer, prompts, batch_size=8, gen_kwargs=gen_kwargs)

    def _prompt_ids(self, row: Mapping[str, Any]) -> list[int]:
        if "messages" not in row:
            return list(self._tokenizer(row["prompt"])["input_ids"])
        text = self._tokenizer.apply_chat_template(list(row["messages"]), tokenize=False, add_generation_prompt=True)
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _load_pyfunc(path: str) -> ChatModel:
    """The entry point that MLflow calls with the folder of the weights."""
    return ChatModel(Path(path))
