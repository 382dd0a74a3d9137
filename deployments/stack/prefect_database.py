"""A new sqlite database for Prefect, made from its final schema instead of by all its migrations.

Prefect makes a database by running every migration since its first release, which takes 5 to 8 s of processor time.
`prefect_schema.sql` holds the tables and indexes that this leads to, and the revision that they are at. A server that
opens such a database runs only the migrations that came after that revision, so the file also serves later versions of
Prefect; an earlier version than the one that wrote it makes its database by itself.

    python -m deployments.stack.prefect_database      writes prefect_schema.sql anew, with the installed Prefect
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
    """Make `prefect.db` in a folder, as a whole or not at all; one that is there is left as it is.

    Returns:
        Whether it was made.
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
        os.link(new, file)  # unlike a rename, it fails where another process was first
    except FileExistsError:
        return False
    finally:
        new.unlink()
    return True


def version_of(schema: str) -> str:
    """The version of Prefect that a schema file was written with."""
    found = re.match(r"-- Prefect ([\d.]+)", schema)
    assert found is not None, f"{SCHEMA} does not begin with Prefect's version"
    return found[1]


def schema_of(file: Path) -> str:
    """Write down the tables, indexes and revision of a database that Prefect has made."""
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
    """Sort the constraints of a table, which migrations write in an order of chance."""
    lines = statement.splitlines()
    found = [number for number, line in enumerate(lines) if line.startswith(CONSTRAINT)]
    if not found or found != list(range(found[0], found[-1] + 1)):
        return statement
    constraints = sorted(lines[number].rstrip(", ") for number in found)
    return "\n".join([*lines[: found[0]], ", \n".join(constraints), *lines[found[-1] + 1 :]])


def migrated_schema() -> str:
    """Let the installed Prefect make a database by its migrations, and return the schema of that."""
    with tempfile.TemporaryDirectory() as folder:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        subprocess.run([sys.executable, "-c", MIGRATE], env={**outside, "PREFECT_HOME": folder}, check=True)
        return schema_of(Path(folder) / DATABASE)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


if __name__ == "__main__":
    SCHEMA.write_text(migrated_schema(), encoding="utf-8")
