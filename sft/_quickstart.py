"""The quickstart recipe and its data, which are part of the installation."""

import shutil
from pathlib import Path

RECIPES = Path(__file__).parents[1] / "recipes"
NAMES = ("quickstart", "quickstart.yaml")
"""The folder with chats and tokenizer, then the recipe, so that the recipe exists only together with its data."""


def quickstart(folder: Path | str = ".") -> Path:
    """Copy the quickstart recipe, its chats and its tokenizer to `recipes/` below a folder (`sft init`).

        >>> sft.quickstart()
        PosixPath('recipes/quickstart.yaml')

    Files that exist are kept, so the recipe can be edited. Its paths are relative to the folder.

    Args:
        folder: The folder in which the recipe will be run; by default the working directory.

    Returns:
        Path of the recipe.
    """
    target = Path(folder) / "recipes"
    target.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        if not (target / name).exists():
            _copy(RECIPES / name, target / name)
    return target / NAMES[-1]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
