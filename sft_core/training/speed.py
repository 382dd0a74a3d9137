"""How fast a training is, and how much of the device that is.

    tokens_per_second   real tokens (no padding) of all processes, over the seconds that steps took; evaluation and
                        the writing of checkpoints do not count
    peak_memory_gb      10⁹ bytes, at most so far: on a GPU what tensors took of the first process' device, elsewhere
                        the process' resident memory
    mfu                 share of the device's peak that went into the model's own arithmetic, where the peak is known

Operations are counted as 6 a parameter and token: 2 in the forward pass and 4 in the backward pass; 4 for a frozen
parameter, which gets no gradient of its own. All parameters count, embeddings as well. Attention adds 12 × layers ×
heads × head width for each pair of tokens of which one attends to the other, so documents count by their true lengths,
and the half above the diagonal does not. Nothing is credited for computing activations again, or for padding. (The
model's arithmetic as in appendix B of PaLM, https://arxiv.org/abs/2204.02311, with causal attention.)
"""

import contextlib
import resource
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GIGA = 1e9
PEAK_FLOPS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "B200": 2250e12,
}
"""Dense operations a second in bfloat16 and float16, by what the device's name contains, the longer name first. From
NVIDIA's data sheets (H100, H100 NVL, H200, A100, L40S, L4, HGX B200); those that give numbers with sparsity are
halved."""


def peak_flops(device_name: str, dtype: torch.dtype) -> float | None:
    """Dense operations a second of one device, if we know them."""
    if dtype not in (torch.bfloat16, torch.float16):
        return None
    words = device_name.split()
    return next((peak for name, peak in PEAK_FLOPS.items() if _is_part(name, words)), None)


def _is_part(name: str, words: list[str]) -> bool:
    """Whether all words of a name are there; `A100-SXM4-80GB` has the word `A100`."""
    heads = {part for word in words for part in (word, word.split("-")[0])}
    return set(name.split()) <= heads


def flops_per_token(model: torch.nn.Module) -> float:
    """Operations of a training step per token, without attention."""
    return float(sum((6 if parameter.requires_grad else 4) * parameter.numel() for parameter in model.parameters()))


def flops_per_pair(config: Any) -> float:
    """Operations of a training step per pair of tokens of which one attends to the other: scores and their use, 2 × 2
    in the forward pass and twice that in the backward pass, of every layer. Sliding windows are not looked at."""
    config = config.get_text_config()
    heads = getattr(config, "num_attention_heads", 0) or 0
    width = getattr(config, "head_dim", None) or (getattr(config, "hidden_size", 0) // heads if heads else 0)
    return 12.0 * (getattr(config, "num_hidden_layers", 0) or 0) * heads * width


class Speed:
    """A stopwatch over steps."""

    def __init__(self, model: "PreTrainedModel", dtype: torch.dtype, num_processes: int) -> None:
        """Begin.

        Args:
            model: What is trained.
            dtype: Of the arithmetic.
            num_processes: That train it, one device each.
        """
        self._per_token, self._per_pair = flops_per_token(model), flops_per_pair(model.config)
        name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        peak = peak_flops(name, dtype)
        self._peak = None if peak is None else peak * num_processes
        self.start()

    def start(self) -> None:
        """Set the stopwatch to zero."""
        self._seconds = 0.0
        self._since = time.perf_counter()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is done meanwhile, but not what the device had still to do before."""
        _wait_for_device()
        self._seconds += time.perf_counter() - self._since
        try:
            yield
        finally:
            _wait_for_device()
            self._since = time.perf_counter()

    def drain(self, num_tokens: float, num_pairs: float) -> dict[str, float]:
        """Return the metrics of a line, and begin the next.

        Args:
            num_tokens: Of all processes since the last line, without padding.
            num_pairs: The same of pairs of tokens.
        """
        seconds = max(self._seconds + time.perf_counter() - self._since, 1e-9)
        self.start()
        metrics = {"tokens_per_second": num_tokens / seconds, "peak_memory_gb": peak_memory() / GIGA}
        if self._peak is not None:
            flops = self._per_token * num_tokens + self._per_pair * num_pairs
            metrics["mfu"] = flops / seconds / self._peak
        return metrics


def peak_memory() -> int:
    """Bytes: of tensors on the GPU, or of this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
