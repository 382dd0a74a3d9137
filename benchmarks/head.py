"""Output projection and loss: our fused step, full logits with autograd, and checkpointed chunks.

Forward and backward of the head alone, with gradients for hidden states and weight. Ours also gives entropy and
accuracy; the other two give the loss alone unless `--metrics` has them compute these from their logits. CPU seconds are
those of the process; memory is the peak of its resident pages beyond what it held before, each way in a process of its
own.

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
    """The summed loss, and where asked entropy and hits, of logits [rows, vocabulary]."""
    if metrics:
        with torch.no_grad():
            log_p = torch.log_softmax(logits, -1)
            (log_p.exp() * log_p).sum()
            (logits.argmax(-1) == targets).sum()
    return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")


def ours(hidden: Tensor, weight: Tensor, targets: Tensor, metrics: bool) -> Tensor:
    """The fused step; it always has the metrics."""
    return fused_loss(hidden, weight, None, targets).loss


def full_logits(hidden: Tensor, weight: Tensor, targets: Tensor, metrics: bool) -> Tensor:
    """All logits at once, kept for the backward pass."""
    return loss_of(hidden @ weight.t(), targets, metrics)


def checkpointed_chunks(hidden: Tensor, weight: Tensor, targets: Tensor, metrics: bool) -> Tensor:
    """Logits of some rows at a time, made again in the backward pass."""

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
    """Of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_megabytes() -> float:
    """Of resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(way: str, options: argparse.Namespace) -> tuple[list[tuple[float, float]], float]:
    """Seconds (wall, CPU) of each round, and the peak in MB beyond inputs and imports."""
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
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=50_277)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--targets", type=int, default=1_500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--metrics", action="store_true", help="entropy and accuracy in all three")
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
