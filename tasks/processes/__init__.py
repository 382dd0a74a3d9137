"""Child processes of stages: who holds the GPU, what is retried, when time is up, and why a process failed.

    launch("sft_core.training", plan, folder, log, processes, look)   # accelerate, watched until its end

What always holds: a child process never outlives the process that started it, and its failure is reported in its own
words. `slots` shares out GPUs, `retrying` and `deadlines` say what is tried again and for how long, `watching` follows
a child through the files that it writes, and `proving` and `replaying` compare two of them.
"""
