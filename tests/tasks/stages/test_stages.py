"""What enters a stage's key, and what the runner does with it; no Prefect is needed."""

import importlib
import importlib.metadata
import inspect
from collections.abc import Sequence
from pathlib import Path

import pytest

from sft_core.data.chat import TemplateRef
from sft_core.data.tokens import TokensConfig
from sft_core.errors import RecipeError
from sft_core.evaluation import EvaluationConfig, EvaluationInputs, LocatedTasks
from sft_core.evaluation.answering import Scoring
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.reader import Reader
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.processes.runtime import RuntimeConfig
from sft_core.store.artifact import ArtifactRef, ArtifactStore, plan_artifact
from sft_core.store.closure import Codebase
from sft_core.store.fingerprint import Placement
from sft_core.store.records import StageOutcome
from sft_core.store.stages import STAGES
from sft_core.training import TrainingConfig, TrainInputs
from tasks.detect_formats import detect_formats
from tasks.evaluate_model import evaluate_model
from tasks.ingest_sources import ingest_sources
from tasks.pack_shards import pack_shards
from tasks.render_chats import render_chats
from tasks.report_data import report_data
from tasks.stages import Stage, stage
from tasks.stages.codebase import PROJECT, definition_of
from tasks.stages.outcomes import executed_or_cached, stage_folders
from tasks.stages.run_context import RunContext
from tasks.tokenize_chats import tokenize_chats
from tasks.train_model import train_model
from tasks.workers import Work

DATA_STAGES = (ingest_sources, detect_formats, render_chats, tokenize_chats, pack_shards, report_data)


def write(text: str, folder: Path) -> StageOutcome:
    (folder / "text").write_text(text)
    return StageOutcome(facts={"text": text})


@stage()
def copy_text(config: TokensConfig, texts: Sequence[ArtifactRef], context: RunContext) -> Work:
    return Work(write, ("".join(context.store.manifest(ref).facts["text"] for ref in texts),))


@stage(per="texts")
def copy_texts(config: TokensConfig, texts: Sequence[ArtifactRef], context: RunContext) -> list[Work]:
    return [Work(write, (context.store.manifest(ref).facts["text"],)) for ref in texts]


def code_with(text: str) -> Codebase:
    """The project's code, with this file among it: its stages have a closure too."""
    return Codebase(PROJECT, ("sft_core", "tasks", __name__), {f"{__name__}.py": text})


@pytest.fixture(autouse=True)
def _tests_are_code(monkeypatch: pytest.MonkeyPatch) -> None:
    code = code_with(Path(__file__).read_text())
    monkeypatch.setattr("tasks.stages.runner.own_code", lambda: code)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root=tmp_path)


def text(store: ArtifactStore, words: str, made_by: str = "a") -> ArtifactRef:
    plan = plan_artifact("render_chats", "s-00001", {"words": words, "made_by": made_by})
    return store.build(plan, lambda folder: write(words, folder))


def test_a_stage_is_made_once_and_then_found(store: ArtifactStore) -> None:
    made = copy_text(TokensConfig(), [text(store, "one")], RunContext(store))
    again = copy_text(TokensConfig(), [text(store, "one")], RunContext(ArtifactStore(root=store.root, made_by="2")))
    assert again == made
    assert store.manifest(made).made_by == store.made_by
    assert (store.path(made) / "text").read_text() == "one"
    assert store.manifest(made).made_from == [text(store, "one")]


def test_what_is_read_counts_by_what_it_holds(store: ArtifactStore) -> None:
    """A stage whose code changed, and which wrote the same again, costs only itself."""
    before = copy_text(TokensConfig(), [text(store, "one")], RunContext(store))
    same_again = text(store, "one", made_by="other code")
    assert same_again.key != text(store, "one").key
    assert copy_text(TokensConfig(), [same_again], RunContext(store)) == before
    assert copy_text(TokensConfig(), [text(store, "two")], RunContext(store)) != before


def test_only_missing_shards_are_made(store: ArtifactStore) -> None:
    first, second = text(store, "one"), text(store, "two")
    (made,) = copy_texts(TokensConfig(), [first], RunContext(store))
    later = ArtifactStore(root=store.root, made_by="later")
    found, new = copy_texts(TokensConfig(), [first, second], RunContext(later))
    assert found == made
    assert [store.manifest(ref).made_by for ref in (found, new)] == [store.made_by, "later"]
    assert Path(found.folder).parent == Path(new.folder).parent, "shards of one setting share a folder"
    (other,) = copy_texts(TokensConfig(max_length=9), [first], RunContext(store))
    assert Path(other.folder).parent != Path(found.folder).parent


def test_what_only_places_the_work_does_not_change_the_key(store: ArtifactStore) -> None:
    class Run(Placement):
        """Stands for whatever is passed along."""

    inputs = {"config": TokensConfig(), "texts": [text(store, "one")], "context": RunContext(store)}
    placed = {**inputs, "runtime": RuntimeConfig(num_processes=4), "run": Run()}
    assert copy_text.plans(placed) == copy_text.plans(inputs)


def test_libraries_that_the_code_imports_are_in_the_key(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = {"config": None, "context": RunContext(store)}
    payloads = {one.name: one.plans(_minimal(one, inputs))[0].payload for one in DATA_STAGES}
    for name, payload in payloads.items():
        assert payload["libraries"]["pyarrow"] == importlib.metadata.version("pyarrow"), name
        assert payload["libraries"]["python"].startswith("3."), name
    assert {"tokenizers", "transformers"} <= payloads["tokenize_chats"]["libraries"].keys()
    assert "torch" not in payloads["tokenize_chats"]["libraries"]


def quantizable() -> ModelRef:
    """A model whose weights are loaded by an optional library."""
    return ModelRef(
        path=None,
        commit=None,
        init="config",
        config={},
        dtype="float32",
        attn_implementation="flash_attention_2",
        trust_remote_code=False,
        content_digest="c",
    )


def test_a_library_by_which_training_only_reads_its_blocks_trains_no_model_again(tmp_path: Path) -> None:
    reader = Reader(TokenizerRef(folder=tmp_path, content_digest="t", commit=None))
    inputs = TrainInputs(TrainingConfig(optim="adamw_8bit"), quantizable(), reader, TemplateRef(), None, 1)
    (plan,) = train_model.plans({"training": inputs})
    found = plan.payload["libraries"].keys()
    assert {"torch", "transformers", "accelerate", "peft", "safetensors"} <= found
    assert {"bitsandbytes", "flash-attn"} <= found, "this recipe asks for them"
    assert not {"pyarrow", "datasets", "torchao", "lm_eval", "mlflow", "prefect"} & found


@pytest.mark.parametrize("baseline", [True, False])
def test_the_libraries_of_the_model_count_for_its_evaluation_with_and_without_a_baseline(baseline: bool) -> None:
    config = EvaluationConfig(baseline=baseline)
    inputs = EvaluationInputs(config, Scoring(), LocatedTasks(), baseline=quantizable())
    (plan,) = evaluate_model.plans({"evaluation": inputs})
    assert "flash-attn" in plan.payload["libraries"]


def _minimal(one: Stage, inputs: dict[str, object]) -> dict[str, object]:
    """Inputs that make a plan and could make nothing else."""

    class Shard:
        name = "s-00000"

        def fingerprint(self) -> str:
            return "shard"

    return {**inputs, **({one.per: [Shard()]} if one.per else {})}


def test_a_change_of_code_is_told_by_the_names_of_functions(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_text(TokensConfig(), [text(store, "one")], RunContext(store))
    edited = code_with(Path(__file__).read_text().replace('facts={"text": text}', 'facts={"text": text + "!"}'))
    monkeypatch.setattr("tasks.stages.runner.own_code", lambda: edited)
    inputs = copy_text.bound(TokensConfig(max_length=7), [text(store, "one")], RunContext(store))
    (plan,) = copy_text.plans(inputs)
    assert copy_text.changes(store, plan) == [
        f"code: {__name__}:write changed",
        "inputs.config.max_length: 1024 → 7",
    ]


def edited_code(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """As if this file had been edited."""
    edited = code_with(Path(__file__).read_text().replace(old, new, 1))
    monkeypatch.setattr("tasks.stages.runner.own_code", lambda: edited)


def test_results_of_earlier_code_are_kept_where_a_sample_comes_out_the_same(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text(store, str(number)) for number in range(9)]
    before = copy_texts(TokensConfig(), texts, RunContext(store))
    edited_code(monkeypatch, '"text").write_text(text)', '"text").write_text(str(text))')
    accepting = ArtifactStore(root=store.root, made_by="later", accept_code=("copy_texts",))
    after = copy_texts(TokensConfig(), texts, RunContext(accepting))
    assert [ref.content for ref in after] == [ref.content for ref in before]
    assert not {ref.key for ref in after} & {ref.key for ref in before}
    manifests = [store.manifest(ref) for ref in after]
    assert {manifest.made_by for manifest in manifests} == {store.made_by}, "nothing was made again"
    assert manifests[4].accepted == {"how": "equal content", "compared": 3, "of": 9, "made_as": before[4].key}
    file = store.path(after[0]) / "text"
    assert file.samefile(store.path(before[0]) / "text"), "the files have a second name and no second copy"


def test_without_a_proof_nothing_is_kept(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text(store, "one")]
    copy_texts(TokensConfig(), texts, RunContext(store))
    edited_code(monkeypatch, '"text").write_text(text)', '"text").write_text(text + "!")')
    monkeypatch.setitem(globals(), "write", write_more)
    accepting = ArtifactStore(root=store.root, accept_code=("copy_texts",))
    with pytest.raises(
        RecipeError, match=r"--accept-code copy_texts: expected the same s-00001 .* different content \(text\)"
    ):
        copy_texts(TokensConfig(), texts, RunContext(accepting))


def write_more(text: str, folder: Path) -> StageOutcome:
    (folder / "text").write_text(text + "!")
    return StageOutcome(facts={"text": text})


def test_another_input_is_no_earlier_result(store: ArtifactStore) -> None:
    copy_texts(TokensConfig(), [text(store, "one")], RunContext(store))
    accepting = ArtifactStore(root=store.root, made_by="later", accept_code=("copy_texts",))
    (made,) = copy_texts(TokensConfig(max_length=7), [text(store, "one")], RunContext(accepting))
    assert store.manifest(made).made_by == "later"
    assert store.manifest(made).accepted is None


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_called_as_its_file_and_its_code_is_found(name: str) -> None:
    found = getattr(importlib.import_module(f"tasks.{name}"), name)
    assert isinstance(found, Stage)
    assert (found.name, found.definition) == (name, definition_of(name))
    assert definition_of(name) in found.closure.definitions


def test_stages_take_no_folder() -> None:
    assert "folder" not in inspect.signature(train_model).parameters


def test_executed_means_that_this_run_made_some_of_it(tmp_path: Path) -> None:
    earlier, now = ArtifactStore(root=tmp_path, made_by="1"), ArtifactStore(root=tmp_path, made_by="2")
    old, new = (plan_artifact(name, "x", {"config": 1}) for name in ("old", "new"))
    was = earlier.build(old, lambda folder: StageOutcome())
    assert now.build(old, lambda folder: StageOutcome()) == was
    made = now.build(new, lambda folder: StageOutcome())
    assert executed_or_cached(now, {"a": [was], "b": [made], "c": [was, made]}) == {
        "a": "cached",
        "b": "executed",
        "c": "executed",
    }
    assert stage_folders(now, {"a": [was]})["a"] == now.path(was)
