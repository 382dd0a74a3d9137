"""Access to the Hugging Face Hub: every name is resolved to a commit before anything depends on it.

A branch name such as `main` is not an identity, because the commit behind it changes. So cache keys contain the commit
that the revision of a Hub model, tokenizer or data file points at now; without a network, the commit in the local Hub
cache.

`huggingface_hub` is imported only by the functions that use it. With all models and data in local folders it is not
needed, and importing it costs a command a quarter of a second.
"""

import fnmatch
import re
from pathlib import Path

from sft_core.errors import RecipeError

PLACEMENT = "It downloads files that a commit already identifies."

OTHER_RUNTIMES = ["onnx/*", "*.onnx", "*.gguf", "*.msgpack", "*.h5", "*.ot", "*.tflite", "original/*", "runs/*"]
"""Files of other frameworks that a model repository may also contain; they are not downloaded."""
_REPO_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_DATA_URL = re.compile(r"^hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?/(?P<pattern>.+)$")


def looks_like_repo(path: str) -> bool:
    """Return True if a string can be a Hub id (`org/name` or `name`). `./name` and absolute paths are local folders."""
    return bool(_REPO_ID.match(path)) and not path.startswith(".")


def resolve_commit(repo: str, revision: str | None, repo_type: str = "model") -> str:
    """Return the commit that a revision of a Hub repository points at.

    Raises:
        RecipeError: if neither the Hub nor the local Hub cache has it.
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
    """Return the commit of a revision in the local Hub cache, or else the only commit of the repository there.

    The second case is needed because downloads by commit, as this module makes them, record no branch name.
    """
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
    """Return the exceptions that `huggingface_hub` raises if the Hub gives no usable answer."""
    from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError comes from the installed httpx
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    return OSError, HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError


def download_snapshot(repo: str, commit: str, allow_patterns: list[str] | None = None) -> Path:
    """Download files of a model repository at a commit into the local Hub cache; return their folder.

    Args:
        repo: The Hub id.
        commit: The commit hash.
        allow_patterns: Glob patterns of the only files to download; None: everything but `OTHER_RUNTIMES`.

    Raises:
        RecipeError: if the download fails.
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
        The commit of the files, and their local copies in order of name.

    Raises:
        RecipeError: if the URL is malformed, the download fails, or no file matches.
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
