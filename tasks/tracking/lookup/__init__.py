"""Queries to MLflow: runs and models, what they were made from, and how two runs differ.

    History(client).runs("eval_loss < 0.5")   # what `sft find runs` prints

Invariant: a look-up only reads, and imports neither pandas nor anything that only runs need.
"""
