"""Printed answers of `sft find`."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from sft_cli.printing import cell, heading, print_table

if TYPE_CHECKING:
    from flows.queries.find_row import RowSeen
    from tasks.tracking.lookup.difference import Difference
    from tasks.tracking.lookup.history import RunFacts
    from tasks.tracking.lookup.models import Origin, ScoredModel
    from tasks.tracking.lookup.sources import FileUse

SHORT = 8
FILES_SHOWN = 10
PURPOSES = {"train": "training", "eval": "held out", None: "training, a share held out by content"}


def show_best(console: Console, metric: str, digest: str, models: "Sequence[ScoredModel]") -> None:
    """Print the models that a metric was measured for on one data set, best first."""
    console.print(f"{metric} on the data {digest}", style="bold")
    rows = [[model.uri, f"{model.value:.6g}", ", ".join(model.aliases), model.run_id[:SHORT]] for model in models]
    print_table(console, ["model", metric, "aliases", "run"], rows)


def show_data_sets(console: Console, metric: str, found: "dict[str, list[ScoredModel]]") -> None:
    """Print the data sets that a metric was measured on; values on different data cannot be compared."""
    if not found:
        console.print(f"no model has a metric called {metric}")
        return
    console.print(f"{metric} was measured on {len(found)} data sets; --data DIGEST ranks the models of one")
    rows = [[digest, str(len(own)), f"{own[0].value:.6g}", own[0].uri] for digest, own in found.items()]
    print_table(console, ["data", "models", "best", "its model"], rows)


def show_runs(console: Console, runs: "Sequence[RunFacts]", is_same_recipe: Sequence[bool]) -> None:
    """Print one run per line."""
    if not runs:
        console.print("no such run")
        return
    rows = [
        [
            run.run_id[:SHORT],
            run.recipe + (" =" if is_same else ""),
            run.status,
            _when(run.started),
            _how_long(run.seconds),
            "–" if run.score is None else f"{run.metric} {run.score:.4g}",
            *(run.data[split].digest[:SHORT] if split in run.data else "–" for split in ("train", "eval")),
            _commit(run, short=SHORT),
        ]
        for run, is_same in zip(runs, is_same_recipe, strict=True)
    ]
    columns = ["run", "recipe", "status", "started", "took", "score", "train data", "eval data", "commit"]
    print_table(console, columns, rows)
    if any(is_same_recipe):
        console.print("= every field as in the recipe file", style="dim")


def show_origin(console: Console, origin: "Origin") -> None:
    """Print what a model was made from, and its scores."""
    run = origin.run
    names = ", ".join(" @".join([version.uri, *version.aliases]) for version in origin.versions) or "not registered"
    console.print(heading(f"\n{names}", details=f"  {origin.model_id}"))
    lines = {
        "verdict": origin.verdict,
        "run": f"{run.run_id}  {run.status}, {_when(run.started)}, took {_how_long(run.seconds)}",
        "prefect": origin.prefect,
        "recipe": f"{run.recipe}  digest {run.tags.get('sft.recipe_digest', 'unknown')}; --recipe prints it",
        "code": _commit(run) + f"  code digest {run.tags.get('sft.code_digest', 'unknown')}",
        "base": ", ".join(f"{name} {value}" for name, value in origin.base.items()),
    }
    for name, text in lines.items():
        _line(console, name, text)
    for split, facts in run.data.items():
        _line(console, split, f"{facts.rows:,} rows, {facts.tokens:,} tokens  digest {facts.digest}")
    _show_files(console, origin)
    for name, value in origin.scores.items():
        if not name.startswith("baseline_"):
            before = origin.scores.get(f"baseline_{name}")
            _line(console, "score", f"{name} {value:.6g}" + ("" if before is None else f" (before {before:.6g})"))
    for stage, folder in origin.artifacts.items():
        _line(console, stage, folder)


def show_uses(console: Console, path: Path, digest: str, uses: "Sequence[FileUse]") -> None:
    """Print the runs that read a file."""
    console.print(heading(str(path), details=f"  {digest}"))
    if not uses:
        console.print("no run read a file with this content, and no run read this path")
        return
    if not uses[0].has_same_bytes:
        console.print("no run read a file with this content; runs that read other content at this path:")
    rows = [
        [
            use.run.run_id[:SHORT],
            use.run.recipe,
            use.run.status,
            _when(use.run.started),
            use.source,
            PURPOSES[use.split],
            use.digest[:SHORT],
            use.path,
        ]
        for use in uses
    ]
    columns = ["run", "recipe", "status", "started", "source", "for", "digest", "path then"]
    print_table(console, columns, rows)


def show_rows_seen(console: Console, name: str, seen: "Sequence[RowSeen]") -> None:
    """Print the fate of a row in each run."""
    if not seen:
        console.print(f"{name}: no run read a file with this content")
    for one in seen:
        models = ", ".join(one.models) or "no model"
        facts = f"  {one.run.status}, {_when(one.run.started)}; {models}"
        console.print(heading(f"\n{one.run.run_id[:SHORT]} {one.run.recipe}", facts))
        console.print(f"  {one.source} ({one.file}): {one.fate}" + (f", {one.reason}" if one.reason else ""))
        if not one.traces:
            console.print("  the artifacts of this run are not on this machine: no details", style="dim")
        for trace in one.traces[:FILES_SHOWN]:
            console.print(f"      row {trace.row:,}: {trace.excerpt}", style="dim")
            for image in trace.images:
                console.print(f"      {image.in_words()}", style="dim")
            for place in trace.places:
                steps = one.steps.get(place.block, []) if place.split == "train" else []
                console.print(
                    f"      {place.split} block {place.block} from position {place.position:,}, "
                    f"{place.tokens:,} tokens{_steps(steps)}"
                )


def show_difference(console: Console, found: "Difference") -> None:
    """Print the differences between two runs side by side."""
    runs = [f"{run.run_id[:SHORT]} {run.recipe}" for run in (found.first, found.second)]
    for title in ("recipe", "data", "code", "environment", "scores"):
        pairs: dict[str, tuple[Any, Any]] = getattr(found, title)
        if not pairs:
            _line(console, title, "the same")
            continue
        rows = [[name, _value(first), _value(second)] for name, (first, second) in pairs.items()]
        console.print()
        print_table(console, [title, *runs], rows)
    for change in found.sources[:FILES_SHOWN]:
        _line(console, "source", f"{change.source} {change.file}: {change.change}")
    if len(found.sources) > FILES_SHOWN:
        _line(console, "", f"and {len(found.sources) - FILES_SHOWN:,} more files; --json lists all")


def _show_files(console: Console, origin: "Origin") -> None:
    states = Counter(file.state for file in origin.files)
    total = ", ".join(f"{count:,} {state}" for state, count in states.items())
    _line(console, "sources", f"{len(origin.files):,} files: {total}" if origin.files else "unknown")
    for file in sorted(origin.files, key=lambda file: file.state == "unchanged")[:FILES_SHOWN]:
        _line(console, "", f"{file.source}  {file.digest}  {file.path}  {file.state}")
    if len(origin.files) > FILES_SHOWN:
        _line(console, "", f"and {len(origin.files) - FILES_SHOWN:,} more; --json lists all")


def _line(console: Console, name: str, text: str | None) -> None:
    if text:
        console.print(f"{name:<16} {text}")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _how_long(seconds: float | None) -> str:
    return "–" if seconds is None else str(timedelta(seconds=round(seconds)))


def _commit(run: "RunFacts", short: int | None = None) -> str:
    if run.commit is None:
        return "–"
    mark = "" if not run.is_dirty else "*" if short else " with uncommitted changes"
    return run.commit[:short] + mark


def _steps(steps: Sequence[int]) -> str:
    shown = ", ".join(str(step) for step in steps[:FILES_SHOWN]) + (", …" if len(steps) > FILES_SHOWN else "")
    return f", trained on in step {shown}" if steps else ""


def _value(value: Any) -> str:
    return cell(value, ".6g") if isinstance(value, float) else cell(value)
