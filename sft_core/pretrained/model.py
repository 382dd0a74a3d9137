"""The model section of the recipe, and what a model is before its weights are read: its identity."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sft_core.errors import RecipeError
from sft_core.pretrained.hub import looks_like_repo, resolve_commit
from sft_core.section import Section
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
AttnImplementation = Literal[
    "auto", "sdpa", "eager", "varlen", "flash_attention_2", "flash_attention_3", "flex_attention"
]
_QUANTIZED = "write `quantization_config: {load_in_4bit: true, …}`"
ELSEWHERE = {
    **{name: f"the recipe has a field of its own, `model.{name}`" for name in ("attn_implementation", "dtype")},
    **{name: f"the recipe has a field of its own, `model.{name}`" for name in ("trust_remote_code", "revision")},
    "torch_dtype": "the recipe has a field of its own, `model.dtype`",
    "config": "change single fields of the configuration by their names, for example `max_position_embeddings: 8192`",
    "device_map": "the trainer puts the model where it belongs; leave it out",
    "load_in_4bit": _QUANTIZED,
    "load_in_8bit": _QUANTIZED,
}
"""Arguments of `from_pretrained` that `model_init_kwargs` does not take, and what to write instead."""


class ModelConfig(Section):
    """Which model is trained, and from which weights."""

    path: str | None = Field(default=None, min_length=1)
    """A local folder or a Hub id. With `init: config` it may be left out."""
    revision: str | None = None
    """Branch, tag or commit of a Hub model; resolved to a commit before anything is keyed on it."""
    init: Literal["pretrained", "config"] = "pretrained"
    """`pretrained` reads the weights; `config` draws random ones from the seed, for tests, small trials and training
    from scratch."""
    config: dict[str, Any] = {}
    """With `init: config`: the model's configuration (`model_type`, `hidden_size`, …), laid over the one at `path` if
    there is one. `vocab_size` and the ids of special tokens are taken from the tokenizer unless they are given."""
    tokenizer: str | None = Field(default=None, min_length=1)
    """A local folder or a Hub id; by default the one that lies with the model."""
    tokenizer_revision: str | None = None
    """Of a tokenizer on the Hub that does not lie with the model."""
    dtype: Dtype = "float32"
    """Of the weights. As in TRL, weights stay in float32 and the arithmetic is bf16 where the hardware has it
    (`training.bf16`)."""
    attn_implementation: AttnImplementation = "auto"
    """`auto`: the fastest one that fits the model and this machine; the training says which. `varlen`: documents of any
    length without padding or masks, by PyTorch's own kernel on a GPU, one after the other elsewhere.
    `flash_attention_2`, `flash_attention_3`: from the packages of that name. `flex_attention` and `sdpa` are PyTorch's,
    with masks; `eager` is slower and plain, for comparison."""
    trust_remote_code: bool = False
    """Run Python code that lies with the model. Off, because it is somebody else's code on your machine."""
    model_init_kwargs: dict[str, Any] = {}
    """More arguments of `from_pretrained`, for example `use_kernels: true` or a field of the configuration such as
    `max_position_embeddings`. `quantization_config: {load_in_4bit: true, bnb_4bit_quant_type: nf4, …}` loads the base
    through bitsandbytes (extra `quantization`, on a GPU), for an adapter in `training.peft`: QLoRA."""
    additional_special_tokens: tuple[str, ...] = ()
    """Tokens that the tokenizer does not have yet and that a chat template or the data may use, for example `<think>`.
    Each gets an embedding of its own, which begins as the mean of all others, is trained (with LoRA just these rows),
    and is saved with the model."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.init == "pretrained" and self.path is None:
            raise ValueError("`path` is needed with `init: pretrained`: a local folder or a Hub id")
        if self.init == "pretrained" and self.config:
            raise ValueError("`config` belongs to `init: config`; a pretrained model brings its own")
        if self.init == "config" and self.path is None and "model_type" not in self.config:
            raise ValueError("`init: config` needs `path`, or `config` with a `model_type` (for example llama)")
        if self.path is None and self.tokenizer is None:
            raise ValueError("`tokenizer` is needed where there is no `path` that one could lie with")
        return self

    @model_validator(mode="after")
    def _names_everything_once(self) -> Self:
        if self.init == "config" and self.model_init_kwargs:
            raise ValueError("`model_init_kwargs` goes to `from_pretrained`; with `init: config` use `config`")
        for name in self.model_init_kwargs:
            if name in ELSEWHERE:
                raise ValueError(f"`model_init_kwargs.{name}`: {ELSEWHERE[name]}")
        tokens = self.additional_special_tokens
        if len(set(tokens)) < len(tokens) or "" in tokens:
            raise ValueError(f"`additional_special_tokens` are texts that are all different, found {list(tokens)}")
        return self

    @property
    def tokenizer_path(self) -> str:
        """Where the tokenizer is."""
        path = self.tokenizer or self.path
        assert path is not None, "checked by the validator"
        return path


class ModelRef(BaseModel):
    """Weights (or the lack of them) with an identity: the digest of a local folder, or a Hub commit."""

    model_config = ConfigDict(frozen=True)

    path: str | None
    commit: str | None
    init: Literal["pretrained", "config"]
    config: dict[str, Any]
    dtype: Dtype
    attn_implementation: AttnImplementation
    """In training; a model is evaluated with `sdpa` where `auto` or `varlen` stands here."""
    trust_remote_code: bool
    content_digest: str
    model_init_kwargs: dict[str, Any] = {}
    additional_special_tokens: tuple[str, ...] = ()

    @property
    def changes_what_is_loaded(self) -> bool:
        """Whether the recipe asks for more than the weights as they are."""
        return bool(self.model_init_kwargs or self.additional_special_tokens)

    def fingerprint(self) -> dict[str, Any]:
        """Content and how it is used; not where it lies."""
        return self.model_dump(exclude={"path", "commit"})


def libraries_of_model(model: ModelRef) -> list[str]:
    """The optional libraries that load a model or compute its attention, by their modules' names."""
    names = {"quantization_config": "bitsandbytes", "use_kernels": "kernels"}
    found = [library for argument, library in names.items() if model.model_init_kwargs.get(argument)]
    return [*found, *(["flash_attn"] if model.attn_implementation.startswith("flash") else [])]


def locate_model(config: ModelConfig, digests: FileDigests) -> ModelRef:
    """Pin a model: find the local folder and digest it, or resolve the Hub revision to a commit. Nothing is downloaded.

    Raises:
        RecipeError: if there is neither such a folder nor such a Hub model.
    """
    commit, content = None, digest(config.config)
    if config.path is not None:
        folder = Path(config.path).expanduser()
        if folder.is_dir():
            content = digests.of_folder(folder, _model_files(folder, config.init))
        elif looks_like_repo(config.path):
            commit = resolve_commit(config.path, config.revision)
            content = commit
        else:
            raise RecipeError(
                f"model.path: expected a folder or a Hub id, found nothing at '{config.path}' ({folder.absolute()})"
            )
    fields = config.model_dump(exclude={"revision", "tokenizer", "tokenizer_revision"})
    return ModelRef(**fields, commit=commit, content_digest=content)


def _model_files(folder: Path, init: str) -> list[Path]:
    """What the weights come from. With `init: config` only the configuration counts."""
    if not (folder / "config.json").is_file():
        raise RecipeError(f"model.path: expected a model folder with a config.json, found none in '{folder}'")
    if init == "config":
        return [folder / "config.json"]
    patterns = (
        "config.json",
        "generation_config.json",
        "*.safetensors",
        "*.safetensors.index.json",
        "*.bin",
        "*.py",
        "adapter_config.json",
    )
    return [file for pattern in patterns for file in folder.glob(pattern)]
