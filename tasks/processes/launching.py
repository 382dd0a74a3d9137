"""Run a package of `sft_core` in a child process that never outlives this process.

The child gets its own session, so that ending its process group ends the launcher and all processes that it started.
It asks the kernel to kill it when its parent dies, for whatever reason. Its output goes to a log file that is kept
after a failure. For this to hold, a task that launches a child is called directly and is never submitted to a thread:
the kernel watches the thread that started the child.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from sft_core.processes.launch import Launch, read_launch
from sft_core.processes.subprocesses import die_with_parent, forget_endings, python_path, request_end
from sft_core.recipe import Recipe
from sft_core.training.requirements import check_requirements
from tasks.home import is_by_worker
from tasks.processes.failures import raise_ending

PLACEMENT = "It starts and ends processes; the stages name the program that they run."

PLAN_FILE = "plan.json"
POLL_SECONDS = 0.5
SECONDS_TO_SAVE = 300.0
"""Time limit for a child that was asked to end: for the end of the running step and a checkpoint."""
WORKER_SECONDS_TO_SAVE = 18.0
"""The same under a Prefect worker, which kills a run 30 s after it was cancelled. A checkpoint that takes longer stays
incomplete, and training resumes from the one before it."""
SECONDS_TO_END = 10.0
WORKER_SECONDS_TO_END = 3.0
NVIDIA_DRIVER = Path("/dev/nvidiactl")
UNLAUNCHED = {"ACCELERATE_USE_CPU": "False", "ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_DYNAMO_BACKEND": "NO"}
"""Variables that `accelerate launch` sets for one plain process; they are set here too, so that none is inherited."""


def launch(
    program: str,
    plan: BaseModel,
    folder: Path,
    log: Path,
    processes: Launch,
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    """Run `python -m <program> plan.json` in the requested number of processes, and wait until it ends.

    Args:
        program: `sft_core.training` or `sft_core.evaluation`. Callers write it as a string literal, so that the code of
            the program is counted as code of the calling stage.
        plan: The plan, which is written to `plan.json` in the folder.
        folder: Folder into which the program writes.
        log: File to which the output of the processes is appended.
        processes: Number and kind of the processes, and options of the launcher.
        on_tick: Called twice a second while the program runs, and once after it ended.

    Raises:
        RecipeError: with the program's own message, if the recipe or its inputs are wrong.
        StageInterruptedError: if it was asked to end, and can be resumed.
        StageFailedError: if it failed for another reason; the message names the log and ends with the cause.
    """
    plan_path = folder / PLAN_FILE
    invitation, arguments = _invitation(program, plan_path, processes), command(program, plan_path, processes)
    _run(program, arguments, plan, folder, log, _environment(processes), None, invitation, on_tick)


def run_stored(program: str, plan: BaseModel, folder: Path, log: Path, code: Path, processes: Launch) -> None:
    """Run `python -m <program> plan.json` with the copy of the code that is stored with a model.

    Args:
        program: The module that is run.
        plan: The plan, which is written to `plan.json` in the folder.
        folder: Folder into which the program writes.
        log: File to which the output of the process is appended.
        code: The folder with the `sft_core` that is imported.
        processes: The process that runs it, and its kind of device.

    Raises:
        The same errors as `launch`.
    """
    arguments = [sys.executable, "-m", program, str(folder / PLAN_FILE)]
    environment = {**_environment(processes), "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    _run(program, arguments, plan, folder, log, environment, code)


def _run(
    program: str,
    arguments: list[str],
    plan: BaseModel,
    folder: Path,
    log: Path,
    environment: dict[str, str],
    working_folder: Path | None,
    invitation: str = "",
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    forget_endings(folder)
    (folder / PLAN_FILE).write_text(plan.model_dump_json(indent=1), encoding="utf-8")
    with log.open("ab") as output:
        start = output.tell()
        output.write(invitation.encode())
        output.flush()
        child = subprocess.Popen(
            arguments,
            start_new_session=True,
            preexec_fn=die_with_parent,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=working_folder,
        )
        try:
            while child.poll() is None:
                on_tick()
                time.sleep(POLL_SECONDS)
        except BaseException:
            _end(child, folder)
            raise
    on_tick()
    if child.returncode != 0:
        raise_ending(program.removeprefix("sft_core."), child.returncode, folder, log, start)


def ready_to_train(recipe: Recipe) -> Launch:
    """Read the launch options of a recipe, and check that this machine can train with them.

    Raises:
        RecipeError: if it cannot; this is found before any data is read.
    """
    processes = read_launch(recipe.runtime)
    check_requirements(recipe.training, lambda: processes.strategy != "cpu" and _has_gpu())
    command("sft_core.training", Path("plan.json"), processes)
    return processes


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def command(program: str, plan_path: Path, processes: Launch, machine_rank: int = 0) -> list[str]:
    """Return the command that starts the processes of one machine.

    It is `accelerate launch`, with two exceptions. Several processes on CPUs are started by torchrun, since accelerate
    would start only one of them, without an error. A single process with no launch options is started directly, which
    saves a launcher process that would import torch as well.

    Raises:
        RecipeError: for an option that accelerate does not have, or that needs a GPU on a machine without one.
    """
    run = ["-m", program, str(plan_path)]
    if processes.is_plain:
        return [sys.executable, *run]
    if processes.num_processes > 1 and (processes.strategy == "cpu" or not NVIDIA_DRIVER.exists()):
        return [sys.executable, "-m", "torch.distributed.run", *processes.torchrun_arguments(machine_rank), *run]
    arguments = processes.accelerate_arguments(machine_rank)
    return [sys.executable, "-m", "accelerate.commands.launch", *arguments, *run]


def _invitation(program: str, plan_path: Path, processes: Launch) -> str:
    """Return the commands to run on the other machines, as text for the head of the log."""
    commands = [shlex.join(command(program, plan_path, processes, rank)) for rank in range(1, processes.num_machines)]
    return "".join(f"machine {rank} joins with: {text}\n" for rank, text in enumerate(commands, start=1))


def _environment(processes: Launch) -> dict[str, str]:
    """Return the environment of a child.

    The child imports `sft_core` from this checkout, and does not inherit `MLFLOW_RUN_ID`, so that no MLflow integration
    in it logs to the run. The CPU cores are divided among the processes; accelerate would give each one thread.
    """
    threads = str(max(1, (os.cpu_count() or 1) // processes.processes_here))
    gpus = {"CUDA_VISIBLE_DEVICES": ""} if processes.strategy == "cpu" else {}
    inherited = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"}
    return {
        "OMP_NUM_THREADS": threads,
        **inherited,
        **(UNLAUNCHED if processes.is_plain else {}),
        **gpus,
        "PYTHONPATH": python_path(os.environ),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def _end(child: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Ask a child that accepts such requests to save its work, wait for it, and then end its whole process group.

    The group is also ended if the wait is interrupted.
    """
    try:
        if request_end(folder):
            child.wait(WORKER_SECONDS_TO_SAVE if is_by_worker() else SECONDS_TO_SAVE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _end_group(child)


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """Send SIGTERM to the whole process group, and SIGKILL if it has not ended after some seconds."""
    seconds = WORKER_SECONDS_TO_END if is_by_worker() else SECONDS_TO_END
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, seconds)):
        try:
            os.killpg(child.pid, number)
            child.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
