"""What makes two measurements of tasks the same, and what is found out before anything runs."""

import importlib.metadata
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sft_core.errors import RecipeError
from sft_core.evaluation import LmEvalConfig, LocatedTasks, locate_tasks
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest
from tests.e2e.fake_hub import COMMIT, serve_hub
from tests.sft_core.evaluation.harness_tasks import write_tasks

pytest.importorskip("lm_eval")

Key = Callable[..., str]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    return write_tasks(tmp_path)


def locate(tasks: Path, digests: FileDigests, *names: str, **section: object) -> LocatedTasks:
    return locate_tasks(LmEvalConfig(tasks=names, include_path=str(tasks), **section), digests)


def key_of(tasks: Path, digests: FileDigests, *names: str) -> str:
    return digest(locate(tasks, digests, *(names or ("say_colour",))))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_yaml_code_and_data_are_the_key(tasks: Path, file_digests: FileDigests) -> None:
    keys = [key_of(tasks, file_digests)]
    edit(tasks / "generation.yaml", "max_gen_toks: 3", "max_gen_toks: 2")
    keys.append(key_of(tasks, file_digests))
    edit(tasks / "utils.py", "return dataset", "return dataset.select(range(2))")
    keys.append(key_of(tasks, file_digests))
    edit(tasks.parent / "colours.jsonl", "snow", "rain")
    keys.append(key_of(tasks, file_digests))
    assert len(set(keys)) == 4


def test_a_file_that_a_yaml_includes_is_in_the_key(tasks: Path, file_digests: FileDigests) -> None:
    (tasks / "own.yaml").write_text("include: generation.yaml\ntask: own\n")
    before = key_of(tasks, file_digests, "own")
    edit(tasks / "generation.yaml", "max_gen_toks: 3", "max_gen_toks: 2")
    assert key_of(tasks, file_digests, "own") != before


def test_what_a_module_of_a_task_imports_from_beside_it_is_in_the_key(tasks: Path, file_digests: FileDigests) -> None:
    (tasks / "helper_of_colours.py").write_text("LIMIT = 2\n")
    path = f"import sys\nsys.path.insert(0, {str(tasks)!r})\nimport helper_of_colours\nsys.path.pop(0)\n"
    (tasks / "utils.py").write_text(path + (tasks / "utils.py").read_text())
    before = key_of(tasks, file_digests)
    (tasks / "helper_of_colours.py").write_text("LIMIT = 3\n")
    assert key_of(tasks, file_digests) != before


def test_other_tasks_comments_and_places_are_not(tasks: Path, file_digests: FileDigests, tmp_path: Path) -> None:
    before = key_of(tasks, file_digests)
    edit(tasks / "choice.yaml", "blue, green", "green, blue")
    (tasks / "utils.py").write_text("# a comment\n" + (tasks / "utils.py").read_text())
    edit(tasks / "generation.yaml", "task: say_colour", "# a comment\ntask: say_colour")
    assert key_of(tasks, file_digests) == before
    (tmp_path / "elsewhere").mkdir()
    moved = Path(shutil.move(tasks, tmp_path / "elsewhere" / "tasks"))
    data = Path(shutil.move(tmp_path / "colours.jsonl", tmp_path / "elsewhere" / "other.jsonl"))
    edit(moved / "generation.yaml", str(tmp_path / "colours.jsonl"), str(data))
    assert key_of(moved, file_digests) == before
    here, there = (LmEvalConfig(tasks=("say_colour",), include_path=str(path)) for path in (tasks, moved))
    assert digest(here) == digest(there)


def test_how_it_is_asked_is_in_the_key_of_the_section() -> None:
    settings = [{}, {"num_fewshot": 1}, {"limit": 3}, {"system_instruction": "x"}, {"apply_chat_template": False}]
    assert len({digest(LmEvalConfig(tasks=("a",), **setting)) for setting in settings}) == len(settings)


def test_a_group_is_its_tasks_and_its_own_file(tasks: Path, file_digests: FileDigests) -> None:
    found = locate(tasks, file_digests, "all_colours")
    assert [ref.name for ref in found.tasks] == ["colours", "say_colour"]
    alone = locate(tasks, file_digests, "say_colour").tasks[0]
    assert found.tasks[1].definition != alone.definition, "the group asks with two examples"
    edit(tasks / "group.yaml", "weight_by_size: true", "weight_by_size: false")
    assert digest(locate(tasks, file_digests, "all_colours")) != digest(found)


def test_a_tag_is_its_tasks(tasks: Path, file_digests: FileDigests) -> None:
    assert [ref.name for ref in locate(tasks, file_digests, "said").tasks] == ["say_colour"]


def test_data_on_the_hub_is_its_commit(
    tasks: Path, file_digests: FileDigests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    (hub / "datasets" / "org" / "colours").mkdir(parents=True)
    shutil.copy(tmp_path / "colours.jsonl", hub / "datasets" / "org" / "colours" / "test.jsonl")
    edit(tasks / "generation.yaml", "dataset_path: json", "dataset_path: org/colours")
    edit(tasks / "generation.yaml", f"data_files: {{test: {tmp_path / 'colours.jsonl'}}}", "revision: main")
    with serve_hub(hub) as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        ref = locate(tasks, file_digests, "say_colour").tasks[0]
    assert (ref.data.source, ref.data.commit) == ("org/colours", COMMIT)
    assert ref.data.dataset_kwargs == {"revision": COMMIT}, "what lm-eval will load"

    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(RecipeError, match=r"'say_colour'.*found neither for 'org/colours' at revision 'main'"):
        locate(tasks, file_digests, "say_colour")
    edit(tasks / "generation.yaml", "revision: main", f"revision: {COMMIT}")
    assert locate(tasks, file_digests, "say_colour").tasks[0].data == ref.data, "a commit needs nobody to resolve it"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("output_type", "unsafe_code: true\noutput_type", "confirm_run_unsafe_code"),
        ("output_type", "doc_to_image: x\noutput_type", "images or sounds"),
        ("metric: exact_match", "metric: code_eval", "fetch as code from the Hub"),
        ("metric: exact_match", "metric: exact_match, hf_evaluate: true", "fetch as code from the Hub"),
        ("utils.tidy", "utils.gone", "'say_colour' cannot be read from .*gone"),
        ("colours.jsonl", "nowhere.jsonl", "expected a file at .*nowhere.jsonl"),
        ("{test: ", "{test: https://host", "cannot be pinned; download it"),
        ("dataset_path: json", "dataset_path: ./nowhere", "expected data at './nowhere'"),
        ("dataset_kwargs: {data_files", "dataset_kwargs: {others", "expected `dataset_kwargs.data_files`"),
        ("dataset_path: json", "custom_dataset: !function utils.tidy", "gets its data from Python code"),
    ],
)
def test_what_cannot_be_measured_is_told_at_once(
    tasks: Path, file_digests: FileDigests, old: str, new: str, says: str
) -> None:
    edit(tasks / "generation.yaml", old, new)
    with pytest.raises(RecipeError, match=says):
        locate(tasks, file_digests, "say_colour")


def test_a_task_that_runs_code_of_the_model_is_measured_where_the_recipe_says_so(
    tasks: Path, file_digests: FileDigests
) -> None:
    edit(tasks / "generation.yaml", "output_type", "unsafe_code: true\noutput_type")
    assert locate(tasks, file_digests, "say_colour", confirm_run_unsafe_code=True).tasks


def test_a_group_that_defines_a_member_itself_is_refused(tasks: Path, file_digests: FileDigests) -> None:
    edit(tasks / "group.yaml", "num_fewshot: 2", "dataset_kwargs: {data_files: x.jsonl}")
    with pytest.raises(RecipeError, match="the group 'all_colours' defines its member 'say_colour' itself"):
        locate(tasks, file_digests, "all_colours")


def test_a_task_is_asked_for_once(tasks: Path, file_digests: FileDigests) -> None:
    with pytest.raises(RecipeError, match="'colours' is part of 'all_colours' and 'colours'"):
        locate(tasks, file_digests, "all_colours", "colours")


def test_an_unknown_task_names_the_one_that_was_meant(tasks: Path, file_digests: FileDigests) -> None:
    with pytest.raises(RecipeError, match="no task 'say_color'; did you mean 'say_colour'"):
        locate(tasks, file_digests, "say_color")
    with pytest.raises(RecipeError, match="include_path: expected a folder"):
        locate(tasks / "nowhere", file_digests, "say_colour")


def test_without_lm_eval_the_message_says_how_to_get_it(
    file_digests: FileDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    with pytest.raises(RecipeError, match=r"pip install 'sft\[lm-eval\]'"):
        locate_tasks(LmEvalConfig(tasks=("arc_easy",)), file_digests)
    assert locate_tasks(LmEvalConfig(), file_digests) == LocatedTasks(), "who asks for none needs none"


@pytest.mark.parametrize(("limit", "says"), [(1.5, "a share below 1"), (0, "greater than 0")])
def test_a_limit_is_a_number_of_documents_or_a_share(limit: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LmEvalConfig(limit=limit)
