"""Supervised fine-tuning as plain functions: no orchestrator, no tracker, no environment, no printing.

Ten rooms. Each may import those to its left, and none to its right; `lint-imports` checks this order:

    store ← processes ← pretrained ← (data, modeling) ← evaluation ← (training, inspection, registry) ← recipe

`errors` and `section` hold what all rooms share: the errors that a user can act on, and the base of all sections of a
recipe. The rooms of `data` follow the stages: `sources`, `formats`, `images`, `chat`, `tokens`, `packing`, `shards`.
"""
