"""Questions to MLflow: which runs and models there are, what they were made from, and how two of them differ.

    History(client).runs("eval_loss < 0.5")   # what `sft find runs` prints

What always holds: a look-up only reads, and loads neither pandas nor anything that a run needs.
"""
