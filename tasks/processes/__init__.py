"""Child processes of stages: their launch, GPU slots, retries, time limits, and the causes of their failures.

    launch("sft_core.training", plan, folder, log, processes, on_tick)   # `accelerate launch`, watched until it ends

Invariants: a child process never outlives the process that started it, and the error that is raised for its failure
quotes the child's own message. `slots` shares out GPUs, `retrying` and `deadlines` decide what is retried and how long
a stage may take, `watching` follows a child through the files that it writes, `proving` verifies a stored model, and
`replaying` compares a training with an earlier one.
"""
