"""One of two processes with a sharded model: `torchrun --nproc_per_node 2 -m tests.sft_core.modeling.sharded_head OUT`.

Each takes one row of the batch. The first writes sums and whole gradients of every way to shard to `OUT`.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from sft_core.modeling import Objective, evaluate_batches, measure_head, supervise
from tests.sft_core.modeling.test_head import a_batch, tiny

WAYS = {"root": "llama", "own": "cohere", "tied": "cohere", "ddp": "llama"}
"""How the head is sharded (with the root, alone, with the root and tied, not at all), and of which model."""


def model_of(way: str) -> torch.nn.Module:
    return tiny(WAYS[way], tie_word_embeddings=way == "tied")


def step(way: str, rank: int) -> dict[str, torch.Tensor]:
    model = model_of(way)
    mine = {name: tensor[rank : rank + 1] for name, tensor in a_batch().items()}
    if way == "ddp":
        wrapped: torch.nn.Module = DistributedDataParallel(model, find_unused_parameters=True)
    else:
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        for unit in [*model.model.layers, *([model.lm_head] if way == "own" else []), model]:
            fully_shard(unit, mesh=mesh)
        wrapped = model
        assert isinstance(model.lm_head.weight, DTensor)
    head = measure_head(wrapped, mine)
    assert head.linear is model.lm_head
    found = supervise(wrapped, head, mine, Objective("dft"))
    (found.loss * dist.get_world_size()).backward()  # gradients are averaged over processes
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    whole = {name: part.full_tensor() if isinstance(part, DTensor) else part for name, part in gradients.items()}
    sums = [found.sums, evaluate_batches(model, [mine], torch.device("cpu"))]
    for part in sums:
        dist.all_reduce(part)
    return {**whole, "sums": sums[0], "evaluated": sums[1]}


def main(output: Path) -> None:
    dist.init_process_group("gloo")
    results = {way: step(way, dist.get_rank()) for way in WAYS}
    if dist.get_rank() == 0:
        torch.save(results, output)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
