"""Place and pace of the work: the `runtime` section, the launch of training processes, and how a child process ends.

    Launch(num_processes=2).command("sft_core.training", plan)   # → accelerate launch --num_processes 2 -m …
    run_child(main)      # a child: dies with its parent, and writes the reason of a failure into a file
    patiently(download)  # tries again when a network fails in a way that passes by itself

What always holds: nothing in this room changes what a run computes, so no cache key contains it, with one exception:
the number of processes that train, which decides which blocks share a step.
"""
