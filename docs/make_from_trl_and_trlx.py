"""Write `docs/from-trl-and-trlx.md` from the tables of names: `python docs/make_from_trl_and_trlx.py`.

Tests compare the page with the output of this script, and the tables with the fields of the installed TRL.
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

Most names are the same. If a recipe uses another name, it is either accepted with a message, or refused with an error
that names the field to use instead.
"""
TRL_HEAD = """## TRL and transformers

Every field of `SFTConfig` and of `TrainingArguments` that is not in the tables below has the same name and meaning
here. Fields of data preparation are in the sections `formats`, `chat`, `tokens` and `packing`, all others in `training`
([recipe.md](recipe.md)). Defaults are TRL's. `training.bf16` is on where the hardware has bfloat16, and
`training.save_total_limit` is 2.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join(
        [
            HEAD,
            TRL_HEAD,
            "### Fields with another name, or without a counterpart\n",
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
            "### Names that are accepted\n",
            "If a recipe or `--set` uses one of these names, it is read as our name, and the command reports it.\n",
            _table(("name", "read as"), ((_code(alias), _code(ours)) for alias, ours in ALIASES.items())),
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
