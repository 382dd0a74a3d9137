"""Verify that a stored model is the one that was trained, before it is registered."""

from pathlib import Path
from tempfile import TemporaryDirectory

from sft_core.errors import StageFailedError
from sft_core.processes.launch import Launch
from sft_core.registry.verification import VERIFICATION_FILE, Verification, VerificationPlan
from sft_core.store.stages import REGISTER_MODEL
from tasks.processes.launching import run_stored
from tasks.processes.slots import gpu_slots


def prove(model_folder: Path, code_folder: Path, probe: Path, log: Path, processes: Launch) -> Verification:
    """Load a stored model in a child process, with the code that was stored with it, and compare its logits.

    Args:
        model_folder: Folder with weights, configuration and tokenizer.
        code_folder: Folder with the stored `sft_core`.
        probe: File of the trainer with texts and the trained model's logits for them.
        log: File to which the output of the process is appended.
        processes: The process that loads the model, and its kind of device.

    Raises:
        StageFailedError: if the model cannot be loaded, or its logits differ from those of the trained model.
    """
    with TemporaryDirectory() as work:
        plan = VerificationPlan(model_folder=model_folder.resolve(), probe=probe.resolve(), output_folder=Path(work))
        with gpu_slots(REGISTER_MODEL, processes.gpus_here):  # only for the verification: an upload needs no GPU
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
