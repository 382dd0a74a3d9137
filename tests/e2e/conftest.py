"""A project in a temporary folder and the `sft` command run on it, against one Prefect server for the session."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from workers import Team, fork_flow_runs, hear_interrupts, make_checkout, working

from tests.fresh_mlflow import write_fresh_mlflow
from tests.postgres import is_postgres_installed, postgres
from tests.prefect_servers import OUTSIDE, prefect_server
from tests.warm import warm_python

PROJECT = Path(__file__).parents[2]
# where its services and all tests share one SQLite file: wait for it rather than fail
PATIENT = {"PREFECT_SERVER_DATABASE_TIMEOUT": "60", "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60"}


@dataclass(frozen=True)
class Outcome:
    """What a command said and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The JSON object on standard output, which must be all that is there."""
        lines = self.stdout.splitlines()
        assert len(lines) == 1, f"expected one line on stdout, found {self.stdout!r}; stderr: {self.stderr}"
        parsed = json.loads(lines[0])
        assert isinstance(parsed, dict)
        return parsed


@dataclass(frozen=True)
class Workspace:
    """A folder with a recipe, its data and its state."""

    folder: Path
    prefect_url: str | None
    code: Path = PROJECT
    variables: tuple[tuple[str, str], ...] = ()
    is_forked: bool = True
    """Commands are forked from a process whose imports are done (`tests.warm`); False: by the interpreter itself."""

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def data(self) -> Path:
        return self.folder / "sums.jsonl"

    def environment(self) -> dict[str, str]:
        """Nothing configured but the home and, where given, the Prefect server."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
        server = {"PREFECT_API_URL": self.prefect_url} if self.prefect_url else {}
        return {**clean, **server, "SFT_HOME": str(self.home), "PYTHONPATH": str(self.code), **dict(self.variables)}

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
        """Start the command in the workspace's folder."""
        interpreter = str(warm_python()) if self.is_forked else sys.executable
        return subprocess.Popen(
            [interpreter, "-m", "sft_cli.main", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_interrupts,
        )

    def sft(self, *arguments: str, typed: str = "") -> Outcome:
        """Run the command to its end; `typed` is its standard input."""
        process = self.start(*arguments, stdin=subprocess.PIPE)
        stdout, stderr = process.communicate(typed, timeout=900)
        return Outcome(process.returncode, stdout, stderr)

    def ok(self, verb: str, *overrides: str, flags: tuple[str, ...] = ()) -> dict[str, Any]:
        """Run a verb on the recipe with `--json`; it must succeed."""
        sets = [word for override in overrides for word in ("--set", override)]
        outcome = self.sft(verb, "recipe.yaml", "--json", *flags, *sets)
        assert outcome.code == 0, outcome.stderr
        return outcome.result


def write_rows(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def sums(num_rows: int) -> list[dict[str, str]]:
    """Rows that are all different."""
    return [{"question": f"{i} plus {i % 7} is", "answer": f" {i + i % 7}"} for i in range(num_rows)]


def write_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer without merges: every byte is a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {token: index for index, token in enumerate(["<pad>", "<eos>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>").save_pretrained(folder)


RECIPE: dict[str, Any] = {
    "name": "sums",
    "model": {
        "init": "config",
        "tokenizer": "tokenizer",
        "config": {
            "model_type": "llama",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
    },
    "sources": [{"path": "sums.jsonl", "columns": {"prompt": "question", "completion": "answer"}, "shard_rows": 100}],
    "formats": {"eval_fraction": 0.1},
    "tokens": {"max_length": 128},
    "packing": {"packing": True},
    "training": {
        "max_steps": 6,
        "learning_rate": 0.003,
        "logging_steps": 2,
        "gradient_checkpointing": False,
        "eval_strategy": "steps",
        "eval_steps": 3,
        "eval_on_start": True,
    },
    "evaluation": {"num_prompts": 4, "gen_kwargs": {"max_new_tokens": 4, "do_sample": False}},
}


def make_workspace(
    folder: Path, prefect_url: str | None, num_rows: int = 300, code: Path = PROJECT, is_forked: bool = True
) -> Workspace:
    workspace = Workspace(folder, prefect_url, code, is_forked=is_forked)
    if is_forked:  # else all of it is the command's own, the tables of MLflow too
        write_fresh_mlflow(workspace.home / "mlflow.db")
    write_tokenizer(folder / "tokenizer")
    write_rows(workspace.data, sums(num_rows))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    return workspace


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server for the session: over PostgreSQL where that is installed, else over SQLite, which makes its
    callers wait where many come at once."""
    with contextlib.ExitStack() as opened:
        database = None
        if is_postgres_installed():
            database = opened.enter_context(postgres()).replace("+psycopg", "+asyncpg")
        yield opened.enter_context(prefect_server(tmp_path_factory.mktemp("prefect-server"), database, PATIENT))


@pytest.fixture
def workspace(tmp_path: Path, prefect_url: str) -> Workspace:
    """A fresh workspace that uses the session's Prefect server."""
    return make_workspace(tmp_path, prefect_url)


@pytest.fixture(scope="session")
def new_workspace(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Workspace]:
    """Make workspaces that several tests share."""
    return lambda name, **options: make_workspace(tmp_path_factory.mktemp(name), **options)


@pytest.fixture(scope="session")
def team(prefect_url: str, new_workspace: Callable[..., Workspace]) -> Iterator[Team]:
    """A server with the deployments of one small recipe, `sums`, and a worker for each of the two pools."""
    workspace = new_workspace("team", prefect_url=prefect_url)
    make_checkout(workspace, RECIPE)
    outcome = workspace.sft("deploy")
    assert outcome.code == 0, outcome.stderr
    people = Team(workspace)
    with people.client() as client:
        fork_flow_runs(client)
    with working(workspace):
        yield people
