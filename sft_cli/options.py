"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override a field, e.g. training.learning_rate=1e-4 or sources.0.path=x.jsonl.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line on stdout, and nothing else there.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show logs and tracebacks on stderr.")]
