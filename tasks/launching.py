"""Run a room in a process of its own, and never leave it behind.

The child gets its own session, so that ending its process group ends the launcher and all that it started; it asks the
kernel to die with us, whatever kills us; and what it prints goes to a log file that outlives a failure. For this to
hold, a task that launches is called directly and never submitted to a thread: the kernel watches the thread that
started the child.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from sft_core.subprocesses import die_with_parent, forget_endings, request_end
from tasks.failures import raise_ending

POLL_SECONDS = 0.5
SECONDS_TO_SAVE = 300.0
"""For the end of the running step and a checkpoint."""
SECONDS_TO_END = 10.0
NVIDIA_DRIVER = Path("/dev/nvidiactl")


def launch(
    room: str,
    plan: BaseModel,
    folder: Path,
    log: Path,
    num_processes: int = 1,
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    """Run `accelerate launch -m sft_core.<room> plan.json` to its end.

    Args:
        room: `training` or `evaluation`.
        plan: Written to `plan.json` in the folder.
        folder: Where the room writes.
        log: Gets all that the process prints.
        num_processes: Processes on this machine.
        on_tick: Called twice a second while it runs, and once after it ended.

    Raises:
        RecipeError: with the room's own words, if it found a mistake of the user's.
        StageInterruptedError: if somebody asked it to end, and it can be gone on with.
        StageFailedError: if it failed otherwise; the message ends with the cause and names the log.
    """
    forget_endings(folder)
    plan_path = folder / "plan.json"
    plan_path.write_text(plan.model_dump_json(indent=1), encoding="utf-8")
    with log.open("ab") as output:
        start = output.tell()
        child = subprocess.Popen(
            _command(room, plan_path, num_processes),
            start_new_session=True,
            preexec_fn=die_with_parent,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(num_processes),
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
        raise_ending(room, child.returncode, folder, log, start)


def _command(room: str, plan_path: Path, num_processes: int) -> list[str]:
    """accelerate launches, except for several processes on CPUs, of which it would start only one, without an error."""
    arguments = ["-m", f"sft_core.{room}", str(plan_path)]
    if num_processes > 1 and not NVIDIA_DRIVER.exists():
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(num_processes)]
        return [sys.executable, *launcher, *arguments]
    launcher = ["-m", "accelerate.commands.launch", "--num_processes", str(num_processes), "--num_machines", "1"]
    options = ["--mixed_precision", "no", "--dynamo_backend", "no", *(["--multi_gpu"] if num_processes > 1 else [])]
    return [sys.executable, *launcher, *options, *arguments]


def _environment(num_processes: int) -> dict[str, str]:
    """The child finds `sft_core` where we did, whatever its working directory, and nothing that a tracker would attach
    to.

    The cores are shared out among the processes: accelerate would leave each with one thread.
    """
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    threads = str(max(1, (os.cpu_count() or 1) // num_processes))
    inherited = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"}
    return {
        "OMP_NUM_THREADS": threads,
        **inherited,
        "PYTHONPATH": path,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def _end(child: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Let a child that listens save what it has done; then, or if it is interrupted once more, end the whole group."""
    try:
        if request_end(folder):
            child.wait(SECONDS_TO_SAVE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _end_group(child)


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """Ask the whole group to end, then make it."""
    for number, patience in ((signal.SIGTERM, SECONDS_TO_END), (signal.SIGKILL, SECONDS_TO_END)):
        try:
            os.killpg(child.pid, number)
            child.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
