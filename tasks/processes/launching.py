"""Run a room in a process of its own, and never leave it behind.

The child gets its own session, so that ending its process group ends the launcher and all that it started; it asks the
kernel to die with us, whatever kills us; and what it prints goes to a log file that outlives a failure. For this to
hold, a task that launches is called directly and never submitted to a thread: the kernel watches the thread that
started the child.
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
from sft_core.processes.subprocesses import die_with_parent, forget_endings, request_end
from sft_core.recipe import Recipe
from sft_core.training.requirements import check_requirements
from tasks.home import is_by_worker
from tasks.processes.failures import raise_ending

PLACEMENT = "It starts and ends processes; what they run is named by the stages."

PLAN_FILE = "plan.json"
POLL_SECONDS = 0.5
SECONDS_TO_SAVE = 300.0
"""For the end of the running step and a checkpoint."""
WORKER_SECONDS_TO_SAVE = 18.0
"""The same under a Prefect worker, which kills a run 30 s after it was cancelled. A checkpoint that takes longer is
left unfinished, and the run goes on from the one before."""
SECONDS_TO_END = 10.0
WORKER_SECONDS_TO_END = 3.0
NVIDIA_DRIVER = Path("/dev/nvidiactl")
UNLAUNCHED = {"ACCELERATE_USE_CPU": "False", "ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_DYNAMO_BACKEND": "NO"}
"""What accelerate's launcher would set for one plain process, so that nothing of the kind is inherited."""


def launch(
    program: str,
    plan: BaseModel,
    folder: Path,
    log: Path,
    processes: Launch,
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    """Run `python -m <program> plan.json`, in as many processes as are asked for, to its end.

    Args:
        program: `sft_core.training` or `sft_core.evaluation`, written as a text where this is called, so that what it
            runs is found to be a part of the calling stage's code.
        plan: Written to `plan.json` in the folder.
        folder: Where the room writes.
        log: Gets all that the process prints.
        processes: That run it.
        on_tick: Called twice a second while it runs, and once after it ended.

    Raises:
        RecipeError: with the room's own words, if it found a mistake of the user's.
        StageInterruptedError: if somebody asked it to end, and it can be gone on with.
        StageFailedError: if it failed otherwise; the message ends with the cause and names the log.
    """
    plan_path = folder / PLAN_FILE
    invitation, arguments = _invitation(program, plan_path, processes), command(program, plan_path, processes)
    _run(program, arguments, plan, folder, log, _environment(processes), None, invitation, on_tick)


def run_stored(program: str, plan: BaseModel, folder: Path, log: Path, code: Path, processes: Launch) -> None:
    """Run `python -m <program> plan.json` with another copy of the code, as it was stored with a model.

    Args:
        program: The module that is run.
        plan: Written to `plan.json` in the folder.
        folder: Where the room writes.
        log: Gets all that the process prints.
        code: The folder with the `sft_core` that is imported.
        processes: The one that runs it: on which kind of device.

    Raises:
        As `launch`.
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
    """Read how training will be launched, and make sure that this machine can.

    Raises:
        RecipeError: if it cannot, before any data is read.
    """
    processes = read_launch(recipe.runtime)
    check_requirements(recipe.training, lambda: processes.strategy != "cpu" and _has_gpu())
    command("sft_core.training", Path("plan.json"), processes)
    return processes


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def command(program: str, plan_path: Path, processes: Launch, machine_rank: int = 0) -> list[str]:
    """The command of one machine.

    accelerate launches, except for several processes on CPUs, of which it would start only one, without an error; and
    except for one process of which nothing special is asked, which needs no second one that imports torch to start it.

    Raises:
        RecipeError: for an option that accelerate does not have, or that needs a GPU where there is none.
    """
    run = ["-m", program, str(plan_path)]
    if processes.is_plain:
        return [sys.executable, *run]
    if processes.num_processes > 1 and (processes.strategy == "cpu" or not NVIDIA_DRIVER.exists()):
        return [sys.executable, "-m", "torch.distributed.run", *processes.torchrun_arguments(machine_rank), *run]
    arguments = processes.accelerate_arguments(machine_rank)
    return [sys.executable, "-m", "accelerate.commands.launch", *arguments, *run]


def _invitation(program: str, plan_path: Path, processes: Launch) -> str:
    """What is to be typed on the other machines, for the head of the log."""
    commands = [shlex.join(command(program, plan_path, processes, rank)) for rank in range(1, processes.num_machines)]
    return "".join(f"machine {rank} joins with: {text}\n" for rank, text in enumerate(commands, start=1))


def python_path() -> str:
    """For a child that is to find this code where we did, whatever its working directory."""
    root = str(Path(__file__).parents[2])
    return os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)


def _environment(processes: Launch) -> dict[str, str]:
    """The child finds `sft_core` where we did, whatever its working directory, and nothing that a tracker would attach
    to.

    The cores are shared out among the processes: accelerate would leave each with one thread.
    """
    threads = str(max(1, (os.cpu_count() or 1) // processes.processes_here))
    gpus = {"CUDA_VISIBLE_DEVICES": ""} if processes.strategy == "cpu" else {}
    inherited = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"}
    return {
        "OMP_NUM_THREADS": threads,
        **inherited,
        **(UNLAUNCHED if processes.is_plain else {}),
        **gpus,
        "PYTHONPATH": python_path(),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def _end(child: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Let a child that listens save what it has done; then, or if it is interrupted once more, end the whole group."""
    try:
        if request_end(folder):
            child.wait(WORKER_SECONDS_TO_SAVE if is_by_worker() else SECONDS_TO_SAVE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _end_group(child)


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """Ask the whole group to end, then make it."""
    seconds = WORKER_SECONDS_TO_END if is_by_worker() else SECONDS_TO_END
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, seconds)):
        try:
            os.killpg(child.pid, number)
            child.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
