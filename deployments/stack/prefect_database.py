"""Creation of a SQLite database for Prefect from its final schema, without running all migrations.

Prefect creates a database by running every migration since its first release, which takes 5 to 8 s of processor time.
`prefect_schema.sql` contains the resulting tables and indexes, and their schema revision. A server that opens such a
database runs only later migrations, so the file also works for later versions of Prefect. A version of Prefect that is
older than the file creates its database by its own migrations.

    python -m deployments.stack.prefect_database      regenerates prefect_schema.sql with the installed Prefect
"""

import importlib.metadata
import os
import re
import secrets
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

SCHEMA = Path(__file__).with_name("prefect_schema.sql")
DATABASE = "prefect.db"
CONSTRAINT = "\tCONSTRAINT "
MIGRATE = (
    "import asyncio; from prefect.server.database import provide_database_interface; "
    "asyncio.run(provide_database_interface().create_db())"
)


def make_database(folder: Path) -> bool:
    """Create `prefect.db` in a folder atomically; an existing file is not changed.

    Returns:
        True if the file was created; False if it existed, or if the installed Prefect is older than the schema.
    """
    file = folder / DATABASE
    text = SCHEMA.read_text(encoding="utf-8")
    if file.exists() or _numbers(importlib.metadata.version("prefect")) < _numbers(version_of(text)):
        return False
    new = folder / f"{DATABASE}.{secrets.token_hex(8)}"
    database = sqlite3.connect(new)
    try:
        database.executescript(f"BEGIN; {text} COMMIT;")
    finally:
        database.close()
    try:
        os.link(new, file)  # unlike a rename, it fails if another process created the file first
    except FileExistsError:
        return False
    finally:
        new.unlink()
    return True


def version_of(schema: str) -> str:
    """Return the version of Prefect that wrote a schema file."""
    found = re.match(r"-- Prefect ([\d.]+)", schema)
    assert found is not None, f"{SCHEMA} does not begin with Prefect's version"
    return found[1]


def schema_of(file: Path) -> str:
    """Return SQL for the tables, indexes and revision of a database that Prefect created."""
    database = sqlite3.connect(file)
    try:
        kept = "FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name"
        statements = [f"{_in_one_order(sql.strip())};" for (sql,) in database.execute(f"SELECT sql {kept}")]
        ((revision,),) = database.execute("SELECT version_num FROM alembic_version")
    finally:
        database.close()
    heading = (
        f"-- Prefect {importlib.metadata.version('prefect')}; written by python -m deployments.stack.prefect_database"
    )
    at = f"INSERT INTO alembic_version VALUES ('{revision}');"
    return "\n".join([heading, *statements, at, ""])


def _in_one_order(statement: str) -> str:
    """Sort the constraints of a table, whose order varies between migrations of the same version."""
    lines = statement.splitlines()
    found = [number for number, line in enumerate(lines) if line.startswith(CONSTRAINT)]
    if not found or found != list(range(found[0], found[-1] + 1)):
        return statement
    constraints = sorted(lines[number].rstrip(", ") for number in found)
    return "\n".join([*lines[: found[0]], ", \n".join(constraints), *lines[found[-1] + 1 :]])


def migrated_schema() -> str:
    """Create a database with the migrations of the installed Prefect, and return its schema."""
    with tempfile.TemporaryDirectory() as folder:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        subprocess.run([sys.executable, "-c", MIGRATE], env={**outside, "PREFECT_HOME": folder}, check=True)
        return schema_of(Path(folder) / DATABASE)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


if __name__ == "__main__":
    SCHEMA.write_text(migrated_schema(), encoding="utf-8")
