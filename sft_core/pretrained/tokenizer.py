"""The tokenizer of a run, identified by its content and loaded once per process.

Loading it with `transformers` imports torch, which takes 3 s of processor time and 300 MB. So it is loaded once, and
everything that preparing and showing data needs is written to a file in the state directory, named by content. Later
commands read that file with `tokenizers` alone (`plain_tokenizer.py`):

    locate_tokenizer → TokenizerRef → contents_of      → TokenizerContents    for templates, and for showing rows
                                    → freeze_tokenizer → FrozenTokenizer      for processes that only encode
                                    → load_tokenizer   → the tokenizer        for models, and for the trainer
"""

import functools
import importlib.metadata
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict
from tokenizers import AddedToken

from sft_core.errors import RecipeError
from sft_core.pretrained.hub import download_snapshot, looks_like_repo, resolve_commit
from sft_core.pretrained.model import ModelConfig
from sft_core.store.closure import own_code
from sft_core.store.durable import write_whole
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_LOADING = threading.Lock()
_FOLDERS: list[Path] = []
"""The folder in which `contents_of` caches tokenizers: no element or one."""

TOKENIZER_FILES = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "*.jinja",
    "chat_template.json",
]
_ALSO_DOWNLOADED = [
    "config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
]
"""Files that are stored with a tokenizer but belong to the identity of the model or of the processor."""


@dataclass(frozen=True, slots=True)
class TokenizerContents:
    """All data of a tokenizer that encoding, decoding and chat templates need."""

    description: str
    """Text of `tokenizer.json` as `transformers` writes it. It may differ from the file in the tokenizer's folder."""
    bos_token_id: int | None
    eos_token_id: int | None
    special_ids: tuple[int, ...]
    special_texts: tuple[str, ...]
    """Texts of all special tokens among the added tokens."""
    special_tokens: dict[str, str]
    """Texts of special tokens by the names that templates use, for example `bos_token`."""
    chat_template: str | dict[str, str] | None


class TokenizerRef(BaseModel):
    """A tokenizer's folder and the digest of its files. The versions of the libraries that run it are part of its
    identity."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    content_digest: str
    commit: str | None
    trust_remote_code: bool = False
    additional_special_tokens: tuple[str, ...] = ()
    """Tokens of the recipe that are added to those in the folder."""

    def fingerprint(self) -> dict[str, Any]:
        """Return content, added tokens, `trust_remote_code` and library versions; not the folder."""
        libraries = ("tokenizers", "tiktoken", "transformers", "jinja2")
        versions = {name: importlib.metadata.version(name) for name in libraries}
        own = {"content": self.content_digest, "trust_remote_code": self.trust_remote_code}
        return {**own, "additional_special_tokens": self.additional_special_tokens, **versions}

    def contents(self) -> TokenizerContents:
        """Return `contents_of(self)`."""
        return contents_of(self)


class FrozenTokenizer(BaseModel):
    """A file with all data of a tokenizer that encoding needs."""

    model_config = ConfigDict(frozen=True)

    ref: TokenizerRef
    file: Path

    def fingerprint(self) -> dict[str, Any]:
        """Return the fingerprint of the tokenizer that the file was made from; the path is not part of it."""
        return self.ref.fingerprint()

    def contents(self) -> TokenizerContents:
        """Read the file."""
        return _read_contents(self.file)


def remember_contents_in(folder: Path) -> None:
    """Make `contents_of` cache the contents of tokenizers in a folder, for this process and for later ones."""
    _FOLDERS[:] = [folder]


def contents_of(ref: TokenizerRef) -> TokenizerContents:
    """Read a tokenizer's contents from the cache folder; if they are not there, load it with `transformers`.

    Raises:
        RecipeError: as in `load_tokenizer`.
    """
    if not _FOLDERS:
        return _loaded_contents(ref)
    return freeze_tokenizer(ref, _FOLDERS[0]).contents()


def freeze_tokenizer(ref: TokenizerRef, folder: Path) -> FrozenTokenizer:
    """Write the contents of a tokenizer into a file of `folder`, named by content, unless that exists."""
    versions = importlib.metadata.version("tokenizers"), importlib.metadata.version("transformers")
    code = own_code().closure(f"{__name__}:{_loaded_contents.__name__}").digest[:16]
    added = [digest(ref.additional_special_tokens)] if ref.additional_special_tokens else []
    remote = ["remote"] if ref.trust_remote_code else []
    file = folder / f"contents-{'-'.join([ref.content_digest, *added, *remote, *versions, code])}.json"
    if not file.exists():
        write_whole(file, orjson.dumps(asdict(_loaded_contents(ref))))
    return FrozenTokenizer(ref=ref, file=file)


@functools.lru_cache(maxsize=4)
def _read_contents(file: Path) -> TokenizerContents:
    found = orjson.loads(file.read_bytes())
    return TokenizerContents(
        **{**found, "special_ids": tuple(found["special_ids"]), "special_texts": tuple(found["special_texts"])}
    )


def _loaded_contents(ref: TokenizerRef) -> TokenizerContents:
    tokenizer = load_tokenizer(ref)
    added = tokenizer.added_tokens_decoder
    template: Any = tokenizer.chat_template
    if isinstance(template, list):  # the form in which files store several named templates
        template = {variant["name"]: variant["template"] for variant in template}
    return TokenizerContents(
        description=tokenizer.backend_tokenizer.to_str(),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        special_ids=tuple(
            sorted({token for token, content in added.items() if content.special} | set(tokenizer.all_special_ids))
        ),
        special_texts=tuple(sorted({content.content for content in added.values() if content.special})),
        special_tokens={
            name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)
        },
        chat_template=template,
    )


def locate_tokenizer(config: ModelConfig, digests: FileDigests) -> TokenizerRef:
    """Find the tokenizer's files (a few MB are downloaded for one on the Hub) and digest them.

    Raises:
        RecipeError: if there is no tokenizer.
    """
    commit, folder = None, Path(config.tokenizer_path).expanduser()
    if not folder.is_dir():
        if not looks_like_repo(config.tokenizer_path):
            raise RecipeError(
                f"model.tokenizer: expected a folder or a Hub id, found nothing at '{config.tokenizer_path}' "
                f"({folder.absolute()})"
            )
        commit = resolve_commit(
            config.tokenizer_path, config.tokenizer_revision if config.tokenizer else config.revision
        )
        folder = download_snapshot(config.tokenizer_path, commit, [*TOKENIZER_FILES, *_ALSO_DOWNLOADED])
    files = sorted({file for pattern in TOKENIZER_FILES for file in folder.glob(pattern)})
    if not files:
        raise RecipeError(f"model.tokenizer: expected a tokenizer (tokenizer.json) in '{folder}', found none")
    return TokenizerRef(
        folder=folder,
        content_digest=digests.of_folder(folder, files),
        commit=commit,
        trust_remote_code=config.trust_remote_code,
        additional_special_tokens=config.additional_special_tokens,
    )


def load_tokenizer(ref: TokenizerRef) -> "PreTrainedTokenizerFast":
    """Load the tokenizer that `ref` identifies, once per process.

    Raises:
        RecipeError: if its files are broken, or it is not a fast tokenizer, whose offsets the loss masks need.
    """
    with _LOADING:  # shards run in threads, and importing transformers from several at once fails
        return _load(ref)


@functools.lru_cache(maxsize=4)
def _load(ref: TokenizerRef) -> "PreTrainedTokenizerFast":
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(ref.folder, trust_remote_code=ref.trust_remote_code)
    except Exception as error:  # `tokenizers` raises a bare Exception for a file that it cannot read
        found = f"{type(error).__name__}: {str(error).split(chr(10))[0]}"
        raise RecipeError(
            f"model.tokenizer: expected a tokenizer that transformers can load in '{ref.folder}', found {found}; "
            "save or download it again, with its tokenizer.json"
        ) from error
    if not tokenizer.is_fast:
        raise RecipeError(
            f"model.tokenizer: expected a fast tokenizer (tokenizer.json), found {type(tokenizer).__name__} "
            f"in {ref.folder}"
        )
    add_special_tokens(tokenizer, ref.additional_special_tokens)
    return tokenizer


def add_special_tokens(tokenizer: "PreTrainedTokenizerFast", tokens: Sequence[str]) -> None:
    """Add special tokens to a tokenizer, with the next free ids.

    Raises:
        RecipeError: if the tokenizer has one of them already.
    """
    known = tokenizer.get_vocab()
    for token in tokens:
        if token in known:
            raise RecipeError(
                f"model.additional_special_tokens: the tokenizer already has '{token}' (id {known[token]}), so it "
                "needs no new embedding; remove it from the list"
            )
    added = {"additional_special_tokens": [AddedToken(token, special=True, normalized=False) for token in tokens]}
    tokenizer.add_special_tokens(added, replace_extra_special_tokens=False)
