"""Offloading of activations: tensors that the backward pass needs are copied to host memory after they are computed,
and copied back when they are needed.

    forward    tensor on the GPU  ── copied on its own stream, parallel to the computation ─→  pinned host memory
    backward   tensor on the GPU  ←─ copied when autograd asks for it ──────────────────────  pinned host memory

Losses and gradients are the same as without offloading. The following tensors are not moved: weights, and autocast's
copies of them; tensors of less than 1,024 bytes, which cost more to move than to keep; and expanded tensors, which are
larger than their memory.
"""

import contextlib
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MIN_BYTES = 1024


def offload_activations(model: nn.Module, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which tensors that autograd saves are kept in host memory.

    Args:
        model: The model, whose parameters and buffers are not moved.
        device: The model's device. On the CPU nothing is done, with a warning.
    """
    if device.type == "cpu":
        warnings.warn("activation_offloading: there is no GPU, so activations stay where they are", stacklevel=2)
        return contextlib.nullcontext()
    return HostCopies([*model.parameters(), *model.buffers()]).hooks()


class HostCopies:
    """Hooks that move saved tensors to host memory and back."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        self.bytes_moved = 0
        kept = list(weights)
        self._places = {_place_of(weight) for weight in kept}
        self._shapes = {shape for weight in kept if _may_be_cast(weight) for shape in (weight.shape, weight.T.shape)}
        self._streams: dict[torch.device, torch.cuda.Stream] = {}

    def hooks(self) -> contextlib.AbstractContextManager[Any]:
        """Return the hooks, see https://docs.pytorch.org/docs/stable/autograd.html#hooks-for-saved-tensors."""
        return torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)

    def _pack(self, tensor: Tensor) -> Any:
        if tensor.nbytes < MIN_BYTES or type(tensor) is not Tensor or tensor.is_sparse:
            return tensor
        if tensor.nbytes > tensor.untyped_storage().nbytes() or self._is_weight(tensor):
            return tensor
        self.bytes_moved += tensor.nbytes
        if not tensor.is_cuda:
            return tensor.device, tensor.to("cpu", copy=True), None
        stream = self._stream_of(tensor.device)
        copy = torch.empty_like(tensor, device="cpu", pin_memory=True)
        stream.wait_stream(torch.cuda.current_stream(tensor.device))
        with torch.cuda.stream(stream):
            copy.copy_(tensor, non_blocking=True)
        tensor.record_stream(stream)  # its memory is not reused before the copy is done
        return tensor.device, copy, stream.record_event()

    def _is_weight(self, tensor: Tensor) -> bool:
        """Return whether a tensor shares a weight's memory, or looks like autocast's copy of a weight. A tensor that is
        mistaken for one only stays on the GPU."""
        is_half = tensor.dtype in (torch.bfloat16, torch.float16)
        return _place_of(tensor) in self._places or (is_half and tensor.shape in self._shapes)

    def _stream_of(self, device: torch.device) -> torch.cuda.Stream:
        if device not in self._streams:
            self._streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return self._streams[device]

    def _unpack(self, kept: Any) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        device, copy, is_there = kept
        if is_there is not None:
            torch.cuda.current_stream(device).wait_event(is_there)
        result: Tensor = copy.to(device, non_blocking=True)
        return result


def _may_be_cast(weight: Tensor) -> bool:
    return weight.ndim == 2 and weight.dtype == torch.float32


def _place_of(tensor: Tensor) -> int:
    """Return the address of a tensor's storage, which is the same for all views of a weight."""
    return tensor.untyped_storage().data_ptr()
