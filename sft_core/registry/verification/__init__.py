"""Verification that a stored model is the trained one: loaded in a separate process, it has to give the same logits.

The process imports the code that was stored with the weights, and loads the weights through the entry point that MLflow
uses, `sft_core.registry.serving`. The trainer wrote the expected logits from the model in its memory.
`sft_core.modeling.probe` defines what is compared and the tolerance.

Importing the package does not import torch.
"""

from sft_core.registry.verification.plan import VERIFICATION_FILE, Verification, VerificationPlan

__all__ = ["VERIFICATION_FILE", "Verification", "VerificationPlan"]
