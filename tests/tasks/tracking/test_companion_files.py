"""The files that are stored with the weights are enough to answer: the named code and libraries, and no others."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.tracking.companion_files import write_runtime
from tests.sft_core.modeling.tiny_models import tiny_model, tiny_tokenizer

pytestmark = pytest.mark.slow

ANSWER = """
import sys

class Visible:
    # a finder of modules that does not find what is hidden

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

hidden = set(sys.argv[2].split(","))
sys.meta_path[:] = map(Visible, sys.meta_path)
import sft_core, sft_core.registry.verification.run
from sft_core.registry.serving import _load_pyfunc
model = _load_pyfunc(sys.argv[1])
told = []
model.say("w2 w3", 3, 0.0, told.append)
print(sft_core.__file__)
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: list[str]) -> set[str]:
    """Distributions and all that they require here, by their metadata."""
    pending, found = [canonical(name) for name in names], set[str]()
    while pending:
        name = pending.pop()
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        pending += [canonical(re.split(r"[\s\[<>=!~;(]", one)[0]) for one in required if "extra ==" not in one]
    return found


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runtime")
    write_runtime(folder)
    return folder


def test_the_templates_of_pages_are_not_stored_and_those_of_chats_are(runtime: Path) -> None:
    stored = {file.relative_to(runtime / "code") for file in (runtime / "code").rglob("*") if file.is_file()}
    assert not [file for file in stored if file.parent.name == "templates" and file.parent.parent.name != "chat"]
    assert Path("sft_core/data/chat/templates/chatml.jinja") in stored


def hidden_modules(requirements: list[str]) -> list[str]:
    """Top-level modules of what is installed and neither required nor required by what is."""
    visible = closure([line.split("==")[0] for line in requirements])
    return sorted(
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if module != "sft_core" and not {canonical(name) for name in names} & visible
    )


def answer(runtime: Path, model: Path, requirements: list[str]) -> "subprocess.CompletedProcess[str]":
    """Answer with the code beside the weights; what is not required is as if it was not installed."""
    hidden = ",".join(hidden_modules(requirements))
    return subprocess.run(
        [sys.executable, "-c", ANSWER, str(model), hidden],
        capture_output=True,
        text=True,
        cwd=runtime / "code",
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(runtime / "code"), "HF_HUB_OFFLINE": "1"},
        timeout=300,
    )


def test_every_requirement_is_pinned_to_what_is_installed(runtime: Path) -> None:
    lines = (runtime / "requirements.txt").read_text().split()
    pinned = dict(line.split("==") for line in lines)
    assert pinned == {name: importlib.metadata.version(name) for name in pinned}
    assert {"mlflow", "torch", "transformers", "safetensors"} <= set(pinned)


def test_the_code_answers_with_nothing_but_what_is_required(runtime: Path, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    lines = (runtime / "requirements.txt").read_text().split()
    assert {"prefect", "pytest", "typer"} & set(hidden_modules(lines)), "something has to be hidden"
    done = answer(runtime, tmp_path / "model", lines)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.split()[-1]).is_relative_to(runtime)
    without = [line for line in lines if not line.startswith(("accelerate==", "peft=="))]
    broken = answer(runtime, tmp_path / "model", without)
    assert broken.returncode != 0
    assert "accelerate" in broken.stderr
