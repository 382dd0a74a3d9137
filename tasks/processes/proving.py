"""Prove that what was stored is what was trained, before it counts as a model."""

from pathlib import Path
from tempfile import TemporaryDirectory

from sft_core.errors import StageFailedError
from sft_core.processes.launch import Launch
from sft_core.registry.verification import VERIFICATION_FILE, Verification, VerificationPlan
from tasks.processes.launching import run_stored
from tasks.processes.slots import gpu_slots


def prove(model_folder: Path, code_folder: Path, probe: Path, log: Path, processes: Launch) -> Verification:
    """Load a stored model in a process of its own, by the code that was stored with it, and compare its logits.

    Args:
        model_folder: Weights, configuration and tokenizer.
        code_folder: The folder with the stored `sft_core`.
        probe: What the trained model gave, written by the trainer.
        log: Gets what the process prints.
        processes: The one that loads it: on which kind of device.

    Raises:
        StageFailedError: if it cannot be loaded, or is another model.
    """
    with TemporaryDirectory() as work:
        plan = VerificationPlan(model_folder=model_folder.resolve(), probe=probe.resolve(), output_folder=Path(work))
        with gpu_slots("register_model", processes.gpus_here):  # for the proof alone: an upload needs no GPU
            run_stored("sft_core.registry.verification", plan, Path(work), log, code_folder.resolve(), processes)
        found = Verification.model_validate_json((Path(work) / VERIFICATION_FILE).read_bytes())
    if found.code_folder != code_folder.resolve():
        raise StageFailedError(f"{model_folder}: expected {code_folder} to load it, found {found.code_folder}")
    if not found.is_same:
        raise StageFailedError(
            f"{model_folder}: expected the model that was trained, found another: {found} ({found.num_texts} texts of "
            f"{probe}). It is not registered: what was saved is not what was trained"
        )
    return found
