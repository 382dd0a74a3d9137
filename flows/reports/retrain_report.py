"""Report of change detection: the changes, the differences in the data, and the result of the training."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from flows.preparation import PreparedData
from flows.reports.run_report import RunReport
from sft_core.inspection.markdown import table
from tasks.tracking.lookup.history import RunFacts

FACTS = ("rows", "tokens", "digest")


class Retrained(BaseModel):
    """Result of one change detection, as plain values."""

    status: str = "completed"
    recipe: str
    message: str = ""
    """Result in one line."""
    earlier_run_id: str | None
    """Id of the newest finished MLflow run of this recipe; None if no run has finished."""
    changes: list[str]
    """Changes that start a training, one line for each; if it is empty, nothing was done."""
    ignored: list[str]
    """Changes of kinds that do not start a training, one line for each."""
    difference: dict[str, Any] | None = None
    """Differences of the data, as in `data_difference.json`."""
    run: RunReport | None = None
    """Report of the training; None if nothing was trained."""


def known_difference(earlier: RunFacts, data: PreparedData, why: str) -> dict[str, Any]:
    """Compare an earlier data set with the present one by the facts that MLflow has of it: rows, tokens and digest.

    Args:
        earlier: The run that the earlier data set was made for.
        data: The present data set.
        why: Reason why the rows cannot be compared.
    """
    splits = {
        split: {name: (_known(earlier, split, name), data.splits.get(split, {}).get(name)) for name in FACTS}
        for split in ("train", "eval")
        if split in earlier.data or split in data.splits
    }
    is_same = all(before == now for facts in splits.values() for before, now in [facts["digest"]])
    return {"by_row": False, "why": why, "is_same": is_same, "splits": splits}


def _known(run: RunFacts, split: str, name: str) -> Any:
    return getattr(run.data[split], name) if split in run.data else None


def as_markdown(found: Retrained) -> str:
    """Return the report as Markdown."""
    parts = [f"**{found.message or 'Changed: training begins.'}**"]
    if found.earlier_run_id:
        parts.append(f"Compared with MLflow run `{found.earlier_run_id}` of `{found.recipe}`.")
    parts += [_listed("Changes", found.changes), _listed("Changes of kinds that are ignored", found.ignored)]
    if found.difference:
        parts += _difference(found.difference)
    if found.run:
        parts.append(f"Model `{found.run.model_uri}`, MLflow run `{found.run.mlflow_run_id}`: {found.run.verdict}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _listed(title: str, lines: list[str]) -> str:
    shown = "\n".join(f"- {line}" for line in lines[:50])
    more = f"\n- and {len(lines) - 50:,} more" if len(lines) > 50 else ""
    return f"{title}:\n\n{shown}{more}" if lines else ""


def _difference(difference: Mapping[str, Any]) -> list[str]:
    parts = []
    if not difference["by_row"]:
        parts.append(f"The earlier data set is no longer in the store, so rows are not compared: {difference['why']}.")
    else:
        parts.append(_sources(difference["sources"]))
    pairs = {f"{split} {name}": pair for split, facts in difference["splits"].items() for name, pair in facts.items()}
    for split, (before, now) in difference.get("lengths", {}).items():
        names = list(now or before)
        pairs |= {f"{split} row tokens, {name}": ((before or {}).get(name), (now or {}).get(name)) for name in names}
    for kind in ("formats", "rejected"):
        pairs |= {f"{kind}: {name}": pair for name, pair in difference.get(kind, {}).items()}
    rows = [(name, _value(before), _value(now)) for name, (before, now) in pairs.items()]
    return [*parts, table(["data", "before", "now"], rows)]


def _sources(sources: Mapping[str, Mapping[str, Any]]) -> str:
    kinds = ("same", "moved", "changed", "added", "removed")
    rows, examples = [], []
    for name, one in sources.items():
        counts = [*one["rows"], *(one[kind] for kind in kinds)]
        rows.append([name, *(f"{count:,}" for count in counts)])
        examples += [f"- {name}, {kind}: {', '.join(named)}" for kind, named in one["examples"].items()]
    return "\n".join([table(["source", "rows before", "now", *kinds], rows), "", *examples])


def _value(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
