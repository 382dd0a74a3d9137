"""Edits of the project's own code, and the keys that they change: all that reach the edited function, and no others."""

import ast
import random
from collections.abc import Iterator

import pytest

from sft_core.store.closure import Codebase
from sft_core.store.closure.messages import MESSAGE_CALLS
from sft_core.store.stages import STAGES
from tasks.stages.codebase import PROJECT, definition_of

NUM_EDITS, NUM_HARMLESS = 200, 50
SEED = 20


@pytest.fixture(scope="module")
def code() -> Codebase:
    return Codebase(PROJECT)


def keys(code: Codebase) -> dict[str, str]:
    return {stage: code.closure(definition_of(stage)).digest for stage in STAGES}


def changed_stages(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {stage for stage in STAGES if before[stage] != after[stage]}


def file_of(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}.py" if (PROJECT / f"{path}.py").is_file() else f"{path}/__init__.py"


def functions(code: Codebase) -> dict[str, set[str]]:
    """`module:function` → the stages that reach it."""
    reached: dict[str, set[str]] = {}
    for stage in STAGES:
        for node in code.closure(definition_of(stage)).definitions:
            reached.setdefault(node, set()).add(stage)
    return {node: stages for node, stages in reached.items() if not node.endswith(":")}


def with_a_statement(text: str, name: str) -> str | None:
    """The text with one more statement at the end of a function's body, or of a method's; None if it has no such."""
    lines = text.splitlines(keepends=True)
    for statement in ast.parse(text).body:
        if getattr(statement, "name", None) != name:
            continue
        inner = [node for node in ast.walk(statement) if isinstance(node, ast.FunctionDef)]
        if not inner:
            return None
        first = inner[0].body[-1]
        lines.insert(first.lineno - 1, " " * first.col_offset + "edited = 1\n")
        return "".join(lines)
    return None


def test_each_edit_changes_the_keys_of_the_stages_that_reach_it(code: Codebase) -> None:
    before, reached = keys(code), functions(code)
    drawn = random.Random(SEED).sample(sorted(reached), k=len(reached))
    done = 0
    for node in drawn:
        module, _, name = node.partition(":")
        file = file_of(module)
        text = with_a_statement((PROJECT / file).read_text(), name)
        if text is None:
            continue
        assert changed_stages(before, keys(code.edited(file, text))) == reached[node], node
        done += 1
        if done == NUM_EDITS:
            break
    assert done == NUM_EDITS


def harmless_edits(code: Codebase) -> Iterator[tuple[str, str]]:
    """File and text: a comment, another docstring, another message, or whatever happens to a marked module."""
    modules = sorted({node.partition(":")[0] for node in functions(code)})
    random.Random(SEED).shuffle(modules)
    for module in modules:
        file = file_of(module)
        text = (PROJECT / file).read_text()
        tree = ast.parse(text)
        yield file, text + "\n# a comment\n"
        if docstring := ast.get_docstring(tree, clean=False):
            yield file, text.replace(docstring, f"In other words. {docstring}", 1)
        for message in _messages(tree):
            yield file, text.replace(message, f"other words {message}", 1)
            break
    marked = {module for stage in STAGES for module in code.closure(definition_of(stage)).marked}
    for module in sorted(module for module in marked if ":" not in module):
        yield file_of(module), (PROJECT / file_of(module)).read_text() + "\nEDITED = 1\n"


def _messages(tree: ast.Module) -> Iterator[str]:
    """Texts in exceptions and log messages that are written in one piece."""
    for node in ast.walk(tree):
        called = node.exc if isinstance(node, ast.Raise) else node
        if not isinstance(called, ast.Call) or not called.args:
            continue
        is_log = isinstance(called.func, ast.Attribute) and called.func.attr in MESSAGE_CALLS
        text = called.args[0]
        if (is_log or isinstance(node, ast.Raise)) and isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield text.value


def test_no_harmless_edit_changes_a_key(code: Codebase) -> None:
    before = keys(code)
    edits = list(harmless_edits(code))
    random.Random(SEED).shuffle(edits)
    assert len(edits) >= NUM_HARMLESS
    for file, text in edits[:NUM_HARMLESS]:
        assert changed_stages(before, keys(code.edited(file, text))) == set(), file


@pytest.mark.parametrize(
    ("file", "old", "new", "stages"),
    [
        ("sft_core/data/pack.py", '"tokens": written.tokens,', '"tokens": 2 * written.tokens,', {"pack_shards"}),
        ("sft_core/processes/hiccups.py", "DELAYS = (1.0, 4.0)", "DELAYS = (1.0, 5.0)", set()),
        ("tasks/tracking/companion_files.py", '"scorecard.json"', '"the-scorecard.json"', {"register_model"}),
        ("tasks/train_model.py", "rewind(work)", "rewind(work) or rewind(work)", {"train_model"}),
        ("sft_core/processes/subprocesses.py", "EXIT_INTERRUPTED = 1, 75", "EXIT_INTERRUPTED = 1, 76", set()),
        ("sft_core/errors.py", "cutoff=0.5", "cutoff=0.7", set()),
        ("sft_core/inspection/templates/report.html.jinja", "more files", "other files", {"report_data"}),
        ("sft_core/inspection/templates/style.css", "margin: 0;", "margin: 1px;", {"report_data"}),
        ("sft_core/inspection/templates/samples.html.jinja", "Samples", "The samples", set()),
        ("sft_core/registry/templates/model_card.md.jinja", "## Recipe", "## The recipe", {"register_model"}),
    ],
    ids=[
        "another count",
        "another delay",
        "another name",
        "another training",
        "another exit code",
        "another hint",
        "another page",
        "another style",
        "a page of a flow",
        "another model card",
    ],
)
def test_edits_that_were_wrongly_judged_before(code: Codebase, file: str, old: str, new: str, stages: set[str]) -> None:
    text = (PROJECT / file).read_text()
    assert text.count(old) >= 1
    assert changed_stages(keys(code), keys(code.edited(file, text.replace(old, new)))) == stages
