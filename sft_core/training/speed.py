"""Throughput, peak memory and model FLOPs utilization of a training.

    tokens_per_second   tokens (without padding) of all processes per second of training steps; the time of evaluations
                        and of writing checkpoints is excluded
    peak_memory_gb      highest memory use so far in units of 10⁹ bytes: memory of tensors on the first process's GPU,
                        or without a GPU the process's resident memory
    mfu                 model FLOPs utilization: share of the device's peak that went into the model's own arithmetic;
                        only on devices whose peak is known

Floating-point operations are counted as 6 per parameter and token, 2 in the forward pass and 4 in the backward pass; a
frozen parameter counts 4, because it gets no gradient. All parameters count, including embeddings. Attention adds 12 ×
layers × heads × head width for each pair of tokens of which one attends to the other. So documents count by their true
lengths, and the half above the diagonal does not count. Recomputed activations and padding do not count either. (This
is the model's arithmetic as in appendix B of PaLM, https://arxiv.org/abs/2204.02311, with causal attention.)
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
"""Peak dense FLOP/s in bfloat16 and float16, by words of the device name; longer names come first. The numbers are from
NVIDIA's data sheets (H100, H100 NVL, H200, A100, L40S, L4, HGX B200); where these give numbers with sparsity, they are
halved."""


def peak_flops(device_name: str, dtype: torch.dtype) -> float | None:
    """Return the peak dense FLOP/s of one device; None if the device or the dtype is not in the table."""
    if dtype not in (torch.bfloat16, torch.float16):
        return None
    words = device_name.split()
    return next((peak for name, peak in PEAK_FLOPS.items() if _is_part(name, words)), None)


def _is_part(name: str, words: list[str]) -> bool:
    """Return whether the device name has all words of `name`; `A100-SXM4-80GB` counts as `A100`."""
    heads = {part for word in words for part in (word, word.split("-")[0])}
    return set(name.split()) <= heads


def flops_per_token(model: torch.nn.Module) -> float:
    """Return the FLOPs of forward and backward pass per token, without attention."""
    return float(sum((6 if parameter.requires_grad else 4) * parameter.numel() for parameter in model.parameters()))


def flops_per_pair(config: Any) -> float:
    """Return the FLOPs of forward and backward pass per pair of tokens of which one attends to the other.

    In each layer, scores and weighted values take 2 × 2 operations per element of a head in the forward pass, and twice
    that in the backward pass. Sliding windows are ignored.
    """
    config = config.get_text_config()
    heads = getattr(config, "num_attention_heads", 0) or 0
    width = getattr(config, "head_dim", None) or (getattr(config, "hidden_size", 0) // heads if heads else 0)
    return 12.0 * (getattr(config, "num_hidden_layers", 0) or 0) * heads * width


class Speed:
    """Stopwatch that measures the time of training steps and computes throughput, memory and MFU."""

    def __init__(self, model: "PreTrainedModel", dtype: torch.dtype, num_processes: int) -> None:
        """Start the stopwatch.

        Args:
            model: Model that is trained.
            dtype: Type in which matrix products are computed.
            num_processes: Number of processes that train it, with one device each.
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
        """Exclude the time spent in the context. Work that the device had queued before is waited for and included."""
        _wait_for_device()
        self._seconds += time.perf_counter() - self._since
        try:
            yield
        finally:
            _wait_for_device()
            self._since = time.perf_counter()

    def drain(self, num_tokens: float, num_pairs: float) -> dict[str, float]:
        """Return the metrics since the last call, and set the stopwatch to zero.

        Args:
            num_tokens: Number of tokens of all processes since the last call, without padding.
            num_pairs: Number of pairs of tokens, one of which attends to the other, in the same time.
        """
        seconds = max(self._seconds + time.perf_counter() - self._since, 1e-9)
        self.start()
        metrics = {"tokens_per_second": num_tokens / seconds, "peak_memory_gb": peak_memory() / GIGA}
        if self._peak is not None:
            flops = self._per_token * num_tokens + self._per_pair * num_pairs
            metrics["mfu"] = flops / seconds / self._peak
        return metrics


def peak_memory() -> int:
    """Return the peak memory in bytes: of tensors on the GPU, or without one, of this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
