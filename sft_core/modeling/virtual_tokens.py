"""Virtual tokens (prompt tuning, p-tuning), whose hidden states are removed from a model's outputs.

    input_ids       [a b c]          3 tokens
    embeddings      [v v a b c]      the method puts 2 virtual tokens in front
    hidden states   [· · x y z]  →   [x y z]

Because they are removed after the last layer, they have no part in the loss or in metrics, and positions selected by
labels are the same as without the method. Prefix tuning keeps its tokens in the cache and needs nothing of this.
"""

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from peft import PeftModel


def hide_virtual_tokens(model: "PeftModel") -> None:
    """Make the model's forward pass return hidden states and logits for its `input_ids` only.

    Generation does not use that forward pass and is not changed.
    """
    lengths: list[int] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        lengths.append((args[0] if args else kwargs["input_ids"]).shape[1])

    def forget(*_: Any) -> None:
        lengths.clear()

    def cut(_: nn.Module, __: Any, output: Any) -> Any:
        if lengths:
            output.last_hidden_state = output.last_hidden_state[:, -lengths[-1] :]
        return output

    model.register_forward_pre_hook(note, with_kwargs=True)
    model.register_forward_hook(forget, always_call=True)
    model.get_base_model().base_model.register_forward_hook(cut)
