"""Output projection and loss: our fused step, full logits with autograd, and checkpointed chunks.

Forward and backward pass of the head only, with gradients for hidden states and weight. Ours also computes entropy and
accuracy; the other two compute only the loss, unless `--metrics` makes them compute these from their logits. Each
method runs in a process of its own. CPU seconds are those of the process; memory is its peak of resident memory in
addition to what it had before.

    PYTHONPATH=. python benchmarks/head.py
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sft_core.modeling.fused_loss import fused_loss

CHUNK_ROWS = 256


def loss_of(logits: Tensor, targets: Tensor, metrics: bool) -> Tensor:
    """Return the summed loss of logits [rows, vocabulary]; with `metrics`, compute entropy and hits as well."""
    if metrics:
        with torch.no_grad():
            log_p = torch.log_softmax(logits, -1)
            (log_p.exp() * log_p).sum()
            (logits.argmax(-1) == targets).sum()
    return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")


def ours(hidden: Tensor, weight: Tensor, targets: Tensor, metrics: bool) -> Tensor:
    """Return the summed loss by the fused step, which always computes the metrics."""
    return fused_loss(hidden, weight, None, targets).loss


def full_logits(hidden: Tensor, weight: Tensor, targets: Tensor, metrics: bool) -> Tensor:
    """Return the summed loss from all logits at once, which are kept for the backward pass."""
    return loss_of(hidden @ weight.t(), targets, metrics)


def checkpointed_chunks(hidden: Tensor, weight: Tensor, targets: Tensor, metrics: bool) -> Tensor:
    """Return the summed loss from `CHUNK_ROWS` rows of logits at a time, computed again in the backward pass."""

    def chunk(rows: Tensor, y: Tensor) -> Tensor:
        return loss_of(rows @ weight.t(), y, metrics)

    pairs = zip(hidden.split(CHUNK_ROWS), targets.split(CHUNK_ROWS), strict=True)
    return torch.stack([checkpoint(chunk, *pair, use_reentrant=False) for pair in pairs]).sum()


WAYS: dict[str, Callable[[Tensor, Tensor, Tensor, bool], Tensor]] = {
    "ours": ours,
    "full logits": full_logits,
    "checkpointed chunks": checkpointed_chunks,
}


def cpu_seconds() -> float:
    """Return the CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_megabytes() -> float:
    """Return the peak of resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(way: str, options: argparse.Namespace) -> tuple[list[tuple[float, float]], float]:
    """Return seconds (wall, CPU) of each round, and the peak memory in MiB in addition to inputs and imports."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    hidden = torch.randn(options.targets, options.width, requires_grad=True)
    weight = (torch.randn(options.vocabulary, options.width) * 0.05).requires_grad_()
    targets = torch.randint(options.vocabulary, (options.targets,))
    before = peak_megabytes()
    rounds = []
    for _ in range(options.rounds + 1):
        hidden.grad = weight.grad = None
        wall, cpu = time.perf_counter(), cpu_seconds()
        (WAYS[way](hidden, weight, targets, options.metrics) / options.targets).backward()
        rounds.append((time.perf_counter() - wall, cpu_seconds() - cpu))
    return rounds[1:], peak_megabytes() - before


def main() -> None:
    """Print a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=50_277)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--targets", type=int, default=1_500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--metrics", action="store_true", help="compute entropy and accuracy in all three methods")
    options = parser.parse_args()
    print(f"| {'':20} | wall s | CPU s | least CPU s | peak MB |\n| --- | ---: | ---: | ---: | ---: |")
    for way in WAYS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rounds, peak = pool.apply(measure, (way, options))
        walls, cpus = zip(*rounds, strict=True)
        print(
            f"| {way:20} | {statistics.median(walls):.2f} | {statistics.median(cpus):.2f} | {min(cpus):.2f} "
            f"| {peak:,.0f} |"
        )


if __name__ == "__main__":
    main()
