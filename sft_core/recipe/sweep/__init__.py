"""Sweeps: trials of one recipe with different values of some fields, and the choice of the best trial.

    grid      learning_rate [1e-4, 1e-3] × max_length [64, 128]   →  4 trials, the last path varying fastest
    random    learning_rate {low: 1e-5, high: 1e-3, log: true}    →  `num_trials` draws, the same for the same seed
    optuna    as random, but each draw depends on the scores so far

A trial is the recipe with overrides `--set path=value`, so it can be run again by itself. Artifacts that trials share,
above all their data, are computed once.
"""
