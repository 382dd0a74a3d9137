"""The Hugging Face Hub, pinned: every name is resolved to a commit before anything hangs on it.

A branch name such as `main` is not an identity: it moves. So a Hub model, tokenizer or data file enters keys as the
commit that its revision points at now; without a network, as the commit of the local Hub cache.

`huggingface_hub` is imported by the functions that use it: with all models and data in local folders, nothing needs it,
and importing it costs a command a quarter of a second.
"""

import fnmatch
import re
from pathlib import Path

from sft_core.errors import RecipeError

PLACEMENT = "It fetches what a commit already names."

OTHER_RUNTIMES = ["onnx/*", "*.onnx", "*.gguf", "*.msgpack", "*.h5", "*.ot", "*.tflite", "original/*", "runs/*"]
"""Weights for other programs, which a repository may hold beside ours."""
_REPO_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_DATA_URL = re.compile(r"^hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?/(?P<pattern>.+)$")


def looks_like_repo(path: str) -> bool:
    """Whether a string can be a Hub id (`org/name` or `name`): a local folder is meant by `./name` or an absolute
    path."""
    return bool(_REPO_ID.match(path)) and not path.startswith(".")


def resolve_commit(repo: str, revision: str | None, repo_type: str = "model") -> str:
    """Return the commit that a revision of a Hub repository points at.

    Raises:
        RecipeError: if neither the Hub nor the local Hub cache knows it.
    """
    from huggingface_hub import HfApi

    from sft_core.processes.hiccups import patiently

    try:
        return str(patiently(lambda: HfApi().repo_info(repo, revision=revision, repo_type=repo_type)).sha)
    except _unreachable() as error:
        cached = _cached_commit(repo, revision, repo_type)
        if cached:
            return cached
        raise RecipeError(
            f"expected a local folder or a {repo_type} on the Hugging Face Hub, found neither for '{repo}' at revision "
            f"'{revision or 'main'}' ({type(error).__name__}); use a local path, or check name, revision and network"
        ) from error


def _cached_commit(repo: str, revision: str | None, repo_type: str) -> str | None:
    """The commit that the local cache knows for a revision, or the only one that it has: downloads by commit, as ours
    are, leave no branch name behind."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cached = [item for item in scan_cache_dir().repos if item.repo_id == repo and item.repo_type == repo_type]
    except (CacheNotFound, OSError):
        return None
    states = [state for item in cached for state in item.revisions]
    wanted = revision or "main"
    named = [state.commit_hash for state in states if wanted in state.refs or wanted == state.commit_hash]
    return named[0] if named else states[0].commit_hash if len(states) == 1 else None


def _unreachable() -> tuple[type[Exception], ...]:
    """The errors by which the Hub's client reports that it has no answer."""
    from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is that of whichever httpx it runs on
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    return OSError, HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError


def download_snapshot(repo: str, commit: str, allow_patterns: list[str] | None = None) -> Path:
    """Download files of a model repository at a commit into the local Hub cache; return their folder.

    Args:
        repo: Its id.
        commit: Which state of it.
        allow_patterns: Only these files; None: all that PyTorch could load.
    """
    from huggingface_hub import snapshot_download

    from sft_core.processes.hiccups import patiently

    others = None if allow_patterns else OTHER_RUNTIMES
    try:
        return Path(
            patiently(
                lambda: snapshot_download(repo, revision=commit, allow_patterns=allow_patterns, ignore_patterns=others)
            )
        )
    except _unreachable() as error:
        raise RecipeError(f"cannot download '{repo}' at {commit} from the Hub: {error}") from error


def download_data_files(url: str) -> tuple[str, list[Path]]:
    """Download the files of `hf://datasets/<org>/<name>[@revision]/<path or glob>`.

    Returns:
        The commit they were taken at, and their local copies in order of name.
    """
    from huggingface_hub import snapshot_download

    from sft_core.processes.hiccups import patiently

    match = _DATA_URL.match(url)
    if match is None:
        raise RecipeError(f"expected hf://datasets/<org>/<name>[@revision]/<file or glob>, found '{url}'")
    repo, pattern = match["repo"], match["pattern"]
    commit = resolve_commit(repo, match["revision"], "dataset")
    try:
        folder = Path(
            patiently(lambda: snapshot_download(repo, revision=commit, repo_type="dataset", allow_patterns=[pattern]))
        )
    except _unreachable() as error:
        raise RecipeError(f"cannot download '{url}' at {commit} from the Hub: {error}") from error
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = [folder / name for name in sorted(fnmatch.filter(names, pattern))]
    if not files:
        raise RecipeError(f"expected files matching '{pattern}' in the Hub data set '{repo}' at {commit}, found none")
    return commit, files
