"""Databases of a stack's servers: files in the state directory, or two databases on a PostgreSQL server."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

from sft_core.errors import RecipeError

PREFECT, MLFLOW = "prefect", "mlflow"
SECONDS_TO_CONNECT = 10


@dataclass(frozen=True, slots=True)
class Databases:
    """SQLAlchemy URLs of the two databases, and descriptions of them without a password."""

    prefect: str
    mlflow: str
    store: str
    """Name that identifies MLflow's database, independent of the server's address; without a password."""
    words: str
    """Description of both databases, for display; without a password."""


def in_home(home: Path) -> Databases:
    """Return the SQLite files in the state directory, which the `sft` command also uses when no server runs."""
    prefect, mlflow = home / "prefect" / "prefect.db", home / "mlflow.db"
    own = f"sqlite:///{mlflow}"
    return Databases(f"sqlite+aiosqlite:///{prefect}", own, own, f"sqlite: {prefect} and {mlflow}")


def on_postgres(address: str) -> Databases:
    """Return the databases `prefect` and `mlflow` of a server, and create them if they are missing.

    Args:
        address: `postgresql://USER:PASSWORD@HOST:PORT/`. If it names a database, that database is used for the
            connection that creates the others; by default `postgres`.

    Raises:
        RecipeError: if the driver is missing, the server does not answer, or a database is missing and the user may
            not create it.
    """
    parts = urlsplit(address)
    if not parts.scheme.startswith("postgres") or not parts.hostname:
        raise RecipeError("--postgres: expected postgresql://USER:PASSWORD@HOST:PORT/, found another kind of address")
    make_missing(parts)
    server = parts.netloc.rpartition("@")[2]
    return Databases(
        _address(parts, "postgresql+asyncpg", PREFECT),
        _address(parts, "postgresql+psycopg", MLFLOW),
        f"postgresql://{server}/{MLFLOW}",
        f"PostgreSQL at {server}, databases {PREFECT} and {MLFLOW}",
    )


def make_missing(parts: SplitResult) -> None:
    """Create those of the two databases that do not exist.

    Args:
        parts: Address of the server, split into its parts.

    Raises:
        RecipeError: as `on_postgres`.
    """
    try:
        import psycopg
    except ImportError as error:
        raise RecipeError(
            "--postgres: expected the PostgreSQL driver, found none; pip install -c constraints.txt -e '.[postgres]'"
        ) from error
    place = f"--postgres: at {parts.netloc.rpartition('@')[2]}"
    door = parts.path.strip("/") or "postgres"
    try:
        with psycopg.connect(
            _address(parts, "postgresql", door), autocommit=True, connect_timeout=SECONDS_TO_CONNECT
        ) as server:
            there = {row[0] for row in server.execute("SELECT datname FROM pg_database")}
            for name in (PREFECT, MLFLOW):
                if name not in there:
                    server.execute(f"CREATE DATABASE {name}".encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise RecipeError(
            f"{place} expected databases {PREFECT} and {MLFLOW}, found one missing, and {parts.username} may not make "
            f"it; let an administrator run CREATE DATABASE for both, with {parts.username} as their owner"
        ) from error
    except psycopg.Error as error:
        raise RecipeError(
            f"{place} expected a PostgreSQL server that accepts the connection, found: {_first_line(error)}"
        ) from error


def _address(parts: SplitResult, scheme: str, database: str) -> str:
    return urlunsplit((scheme, parts.netloc, f"/{database}", parts.query, ""))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
