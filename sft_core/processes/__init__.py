"""The `runtime` section, the launch of training processes, and how a child process ends.

    Launch(num_processes=2).command("sft_core.training", plan)   # → accelerate launch --num_processes 2 -m …
    run_child("sft_core.training.run")      # a child: dies with its parent, and writes why it failed into a file
    patiently(download)                     # tries again after a temporary failure of a server
    wait_until(server_answers, seconds=60)  # asks again and again

Nothing in this package changes what a run computes, so no cache key contains it. The one exception is the number of
training processes, which decides which blocks share a step.
"""
