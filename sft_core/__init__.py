"""Supervised fine-tuning as plain functions: no orchestrator, no tracker, no environment, no printing.

One room per stage (`sources`, `formats`, `chat`, `tokens`, `packing`, `shards`, `training`, `evaluation`); each
exports one config, one verb and its nouns. The nouns that cross from one room to the next stand in `records.py`.
"""
