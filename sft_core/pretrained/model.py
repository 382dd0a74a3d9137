"""The `model` section of the recipe, and the identity of a model, which is known before its weights are read."""

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
    "device_map": "the trainer places the model on its devices; remove this argument",
    "load_in_4bit": _QUANTIZED,
    "load_in_8bit": _QUANTIZED,
}
"""Arguments of `from_pretrained` that `model_init_kwargs` does not accept, and what to write instead."""


class ModelConfig(Section):
    """The model to train, and the weights to start from."""

    path: str | None = Field(default=None, min_length=1)
    """A local folder or a Hub id. Optional with `init: config`."""
    revision: str | None = None
    """Branch, tag or commit of a Hub model. Cache keys contain the commit that it is resolved to."""
    init: Literal["pretrained", "config"] = "pretrained"
    """`pretrained` loads the weights; `config` initializes random ones from the seed, for tests, small trials and
    training from scratch."""
    config: dict[str, Any] = {}
    """With `init: config`: the model's configuration (`model_type`, `hidden_size`, …). Its fields override those of the
    configuration at `path`, if there is one. `vocab_size` and the ids of special tokens are taken from the tokenizer
    unless they are given."""
    tokenizer: str | None = Field(default=None, min_length=1)
    """A local folder or a Hub id; by default the tokenizer that is stored with the model."""
    tokenizer_revision: str | None = None
    """Branch, tag or commit of a tokenizer on the Hub that is not stored with the model."""
    dtype: Dtype = "float32"
    """Data type of the weights. As in TRL, weights stay in float32, and the arithmetic is bf16 if the hardware supports
    it (`training.bf16`)."""
    attn_implementation: AttnImplementation = "auto"
    """`auto`: the fastest one that fits the model and this machine; the training logs which. `varlen`: documents of any
    length without padding or masks, by PyTorch's own kernel on a GPU, one after the other elsewhere.
    `flash_attention_2`, `flash_attention_3`: the kernels of the packages of that name. `flex_attention` and `sdpa` are
    PyTorch's, with masks. `eager` is a slower reference implementation, for comparison."""
    trust_remote_code: bool = False
    """Run Python code that is stored with the model. It is off by default, because it runs somebody else's code on your
    machine."""
    model_init_kwargs: dict[str, Any] = {}
    """More arguments of `from_pretrained`, for example `use_kernels: true` or a field of the configuration such as
    `max_position_embeddings`. `quantization_config: {load_in_4bit: true, bnb_4bit_quant_type: nf4, …}` loads the base
    model through bitsandbytes (extra `quantization`, on a GPU), for an adapter in `training.peft`: QLoRA."""
    additional_special_tokens: tuple[str, ...] = ()
    """Tokens that the tokenizer does not have yet and that a chat template or the data may use, for example `<think>`.
    Each gets a new embedding, which is initialized as the mean of all others. It is trained (with LoRA, only these rows
    of the embedding are), and saved with the model."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.init == "pretrained" and self.path is None:
            raise ValueError("`path` is needed with `init: pretrained`: a local folder or a Hub id")
        if self.init == "pretrained" and self.config:
            raise ValueError("`config` belongs to `init: config`; a pretrained model has its own")
        if self.init == "config" and self.path is None and "model_type" not in self.config:
            raise ValueError("`init: config` needs `path`, or `config` with a `model_type` (for example llama)")
        if self.path is None and self.tokenizer is None:
            raise ValueError("`tokenizer` is needed without a `path`, whose folder could contain one")
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
            raise ValueError(f"`additional_special_tokens`: expected different, non-empty texts, found {list(tokens)}")
        return self

    @property
    def tokenizer_path(self) -> str:
        """Local folder or Hub id of the tokenizer."""
        path = self.tokenizer or self.path
        assert path is not None, "checked by the validator"
        return path


class ModelRef(BaseModel):
    """A model and its identity: the digest of a local folder, or a Hub commit."""

    model_config = ConfigDict(frozen=True)

    path: str | None
    commit: str | None
    init: Literal["pretrained", "config"]
    config: dict[str, Any]
    dtype: Dtype
    attn_implementation: AttnImplementation
    """Implementation used in training. A model is evaluated with `sdpa` if this is `auto` or `varlen`."""
    trust_remote_code: bool
    content_digest: str
    model_init_kwargs: dict[str, Any] = {}
    additional_special_tokens: tuple[str, ...] = ()

    @property
    def changes_what_is_loaded(self) -> bool:
        """True if the recipe sets loading arguments or adds tokens, so that the model differs from the stored one."""
        return bool(self.model_init_kwargs or self.additional_special_tokens)

    def fingerprint(self) -> dict[str, Any]:
        """Return all fields that affect the result; path and commit are not among them."""
        return self.model_dump(exclude={"path", "commit"})


def libraries_of_model(model: ModelRef) -> list[str]:
    """Return the module names of the optional libraries that are needed to load a model or to compute its attention."""
    names = {"quantization_config": "bitsandbytes", "use_kernels": "kernels"}
    found = [library for argument, library in names.items() if model.model_init_kwargs.get(argument)]
    return [*found, *(["flash_attn"] if model.attn_implementation.startswith("flash") else [])]


def locate_model(config: ModelConfig, digests: FileDigests) -> ModelRef:
    """Pin a model: find the local folder and digest it, or resolve the Hub revision to a commit. Nothing is downloaded.

    Raises:
        RecipeError: if there is neither a local folder nor a Hub model of that name.
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
    """List the files that decide about the weights. With `init: config` it is only the configuration."""
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
