"""Train with weights sharded over processes without a GPU: `torchrun -m tests.sft_core.training.sharded PLAN`.

accelerate engages FSDP on devices alone, and PyTorch's `fully_shard` works over gloo as well: here accelerate is told
that its processes are sharded, and all else is what runs on a machine of GPUs.
"""

import os
from typing import Any

from accelerate.state import AcceleratorState, DistributedType, PartialState

from sft_core.processes.subprocesses import run_child

ENVIRONMENT = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
}
"""What `accelerate launch` makes of a file like `recipes/accelerate/fsdp2.yaml`."""


def shard_on_cpu() -> None:
    """Let accelerate shard on CPUs; what is not in the environment yet is set as `ENVIRONMENT` says."""
    os.environ.update({**ENVIRONMENT, **os.environ})
    initialize = AcceleratorState.__init__

    def init(self: AcceleratorState, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        initialize(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.fsdp_plugin = fsdp_plugin
            self.distributed_type = DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = init  # type: ignore[method-assign]


if __name__ == "__main__":
    shard_on_cpu()
    run_child("sft_core.training.run")
