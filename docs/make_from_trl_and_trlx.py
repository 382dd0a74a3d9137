"""Write `docs/from-trl-and-trlx.md` from the tables of names: `python docs/make_from_trl_and_trlx.py`.

A test compares the page with what this writes, and the tables with the fields of the installed TRL.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from sft_core.recipe.aliases import ALIASES
from sft_core.recipe.counterparts import FORMER, TRL, TRLX, Counterpart
from sft_core.training.owned import ONE_VALUE, OWNED

PAGE = Path(__file__).parent / "from-trl-and-trlx.md"
HEAD = """# From TRL and trlX

Written by `python docs/make_from_trl_and_trlx.py` from `sft_core/recipe/counterparts.py`, `aliases.py` and
`training/owned.py`; change them there.

Most names are the same. A recipe that uses another is either understood, and told so, or gets an error that says what
to write instead.
"""
TRL_HEAD = """## TRL and transformers

Every field of `SFTConfig` and of `TrainingArguments` that is in none of the tables below has the same name and meaning
here: those of preparation in `formats`, `chat`, `tokens` and `packing`, all others in `training`
([recipe.md](recipe.md)). Defaults are TRL's. `training.bf16` is on where the hardware has bfloat16, and
`training.save_total_limit` is 2.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [
            HEAD,
            TRL_HEAD,
            "### Other names, or none\n",
            _table(("TRL", "here", "remark"), _rows(TRL)),
            "### Names of earlier versions\n",
            _table(("earlier", "here", "remark"), _rows(FORMER)),
            "### What the pipeline sets itself\n",
            _table(
                ("`TrainingArguments`", "why it is not set in a recipe"), ((_code(n), why) for n, why in OWNED.items())
            ),
            "### Fields with one value\n",
            _table(("field", "only", "why"), ((_code(n), _code(str(v).lower()), w) for n, (v, w) in ONE_VALUE.items())),
            "## trlX\n",
            "Fields of `TRLConfig` for supervised fine-tuning.\n",
            _table(("trlX", "here", "remark"), _rows(TRLX)),
            "### Names that are understood\n",
            "Where one of these stands in a recipe, or in `--set`, it is taken for ours, and the command says so.\n",
            _table(("written", "taken for"), ((_code(alias), _code(ours)) for alias, ours in ALIASES.items())),
        ]
    )


def _rows(table: Mapping[str, Counterpart]) -> Iterable[tuple[str, ...]]:
    for name, found in table.items():
        yield _code(name), ", ".join(map(_code, found.fields)) or "–", found.note


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
