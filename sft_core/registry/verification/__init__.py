"""Whether a stored model is the one that was trained: loaded anew in a process of its own, it has to give the same
logits.

The process imports the code that was stored beside the weights, and loads them through the door that MLflow uses,
`sft_core.registry.serving`; the logits to compare with were written by the trainer from the model in its memory
(`sft_core.modeling.probe` says what is compared and how much may differ).

Importing the room does not import torch.
"""

from sft_core.registry.verification.plan import VERIFICATION_FILE, Verification, VerificationPlan

__all__ = ["VERIFICATION_FILE", "Verification", "VerificationPlan"]
