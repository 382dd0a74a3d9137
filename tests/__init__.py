"""Mirrors the tree: the tests of `sft_core/x.py` are in `tests/sft_core/test_x.py`."""
