"""What many tests share: a small byte-level tokenizer, trained in-process, and a place to remember digests."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports the Hub's client
# the Prefect server that the commands of a test's home share ends with the last of them, or with the tests
os.environ["SFT_PREFECT_IDLE_SECONDS"] = "0"
os.environ["SFT_PREFECT_WATCHED_PID"] = str(os.getpid())

import pytest
from hypothesis import HealthCheck, settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from sft_core.pretrained.model import ModelConfig
from sft_core.pretrained.plain_tokenizer import PlainTokenizer, plain_tokenizer
from sft_core.pretrained.tokenizer import TokenizerRef, load_tokenizer, locate_tokenizer
from sft_core.store.file_digests import FileDigests

if TYPE_CHECKING:
    from tests.sft_core.inspection.data_set import Prepared
    from tests.tracked_history import Small

settings.register_profile(
    "sft",
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("sft")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes do not name a test: a compressed file may hold the time, and all processes have to name tests alike."""
    return argname if isinstance(val, bytes) else None


DURATIONS = ("e2e", "slow", "postgres", "parity")
"""Markers of tests that take their time, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that the processes that share the tests end at about the same time."""

    def rank(item: pytest.Item) -> int:
        return next((place for place, name in enumerate(DURATIONS) if item.get_closest_marker(name)), len(DURATIONS))

    ranks: dict[Path, int] = {}
    for item in items:
        ranks[item.path] = min(rank(item), ranks.get(item.path, len(DURATIONS)))
    items.sort(key=lambda item: ranks[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Let a process have whole files, in the order above."""
    from tests.sharing import Sharing

    config.option.loadscopereorder = False
    return Sharing(config, log)


SENTENCES = [
    "What is the sum of two and three? The sum of two and three is five.",
    "The quick brown fox jumps over the lazy dog, and the dog sleeps on.",
    "system user assistant tool: 2+2=4, 10-3=7, 6*7=42.",
    "A small model learns what the assistant says and nothing of what the user asks.",
]
SPECIAL_TOKENS = ["<|im_start|>", "<|im_end|>", "<|pad|>"]


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2-like tokenizer of 400 tokens: no beginning token, `<|im_end|>` at the end, no chat template."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL_TOKENS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|pad|>").save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def tokenizer_ref(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenizerRef:
    digests = FileDigests(tmp_path_factory.mktemp("digests") / "digests.sqlite")
    return locate_tokenizer(model_config(tokenizer_folder), digests)


@pytest.fixture(scope="session")
def tokenizer(tokenizer_ref: TokenizerRef):
    return load_tokenizer(tokenizer_ref)


@pytest.fixture(scope="session")
def plain(tokenizer_ref: TokenizerRef) -> PlainTokenizer:
    """The same tokenizer, run by `tokenizers` alone."""
    return plain_tokenizer(tokenizer_ref)


@pytest.fixture
def file_digests(tmp_path_factory: pytest.TempPathFactory) -> FileDigests:
    return FileDigests(tmp_path_factory.mktemp("digests") / "digests.sqlite")


def model_config(tokenizer_folder: Path) -> ModelConfig:
    """The `model` section of a recipe with random weights and this tokenizer."""
    return ModelConfig(init="config", config={"model_type": "llama"}, tokenizer=str(tokenizer_folder))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> "Prepared":
    """A small packed data set with everything behind it, made once."""
    from tests.sft_core.inspection.data_set import prepare

    return prepare(tmp_path_factory.mktemp("prepared"), tokenizer_folder)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, tokenizer_ref: TokenizerRef) -> "Small":
    """A small MLflow store, for tests that only read it."""
    from tests.tracked_history import make_small

    return make_small(tmp_path_factory.mktemp("small"), tokenizer_ref)


@pytest.fixture
def forked_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test starts by the interpreter is forked, with all imports done (`tests.warm`)."""
    from tests.warm import warm_python

    monkeypatch.setattr("sys.executable", str(warm_python()))


@pytest.fixture
def small_of_ones_own(tmp_path: Path, tokenizer_ref: TokenizerRef) -> "Small":
    """The same, to write into."""
    from tests.tracked_history import make_small

    return make_small(tmp_path, tokenizer_ref)
