"""Comparison of a stored model with the trained one; runs in `python -m sft_core.registry.verification plan.json`."""

from pathlib import Path

import sft_core
from sft_core.modeling import TOLERANCE, Probe, coarsest, difference, probe_logits
from sft_core.registry.serving import ChatModel
from sft_core.registry.verification.plan import VERIFICATION_FILE, Verification, VerificationPlan

LARGEST = 1e308
"""Value written for an infinite difference, because JSON has no infinity."""


def verify(plan: VerificationPlan) -> Verification:
    """Compare a stored model with the probe of the trained one, and write the result to `verification.json`."""
    probe = Probe.read(plan.probe)
    model = ChatModel(plan.model_folder).model
    dtypes = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    precision = coarsest([probe.precision, *(str(dtype).removeprefix("torch.") for dtype in dtypes)])
    found = probe_logits(model, probe.texts, model.device, probe.images)
    verification = Verification(
        difference=min(difference(probe.logits, found), LARGEST),
        tolerance=TOLERANCE[precision],
        precision=precision,
        num_texts=len(probe.texts),
        code_folder=Path(sft_core.__file__).parent.parent,
    )
    (plan.output_folder / VERIFICATION_FILE).write_text(verification.model_dump_json(indent=1), encoding="utf-8")
    return verification


def main(plan_path: Path) -> None:
    """Read the plan and run the comparison."""
    verify(VerificationPlan.model_validate_json(plan_path.read_bytes()))
