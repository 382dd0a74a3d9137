"""Where the servers of a stack keep their records: files in the home, or two databases on a PostgreSQL server."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

from sft_core.errors import RecipeError

PREFECT, MLFLOW = "prefect", "mlflow"
SECONDS_TO_CONNECT = 10


@dataclass(frozen=True, slots=True)
class Databases:
    """SQLAlchemy addresses, and what they are in words; these have no password."""

    prefect: str
    mlflow: str
    store: str
    """What MLflow's is called as long as it lives, whatever server stands before it."""
    words: str


def in_home(home: Path) -> Databases:
    """The files that the `sft` command uses too, when no server runs."""
    prefect, mlflow = home / "prefect" / "prefect.db", home / "mlflow.db"
    own = f"sqlite:///{mlflow}"
    return Databases(f"sqlite+aiosqlite:///{prefect}", own, own, f"sqlite: {prefect} and {mlflow}")


def on_postgres(address: str) -> Databases:
    """The databases `prefect` and `mlflow` of a server, made if they are missing.

    Args:
        address: `postgresql://USER:PASSWORD@HOST:PORT/`; a database in it is where one connects to make the others.

    Raises:
        RecipeError: if the driver is missing, the server does not answer, or the databases are missing and may not be
            made.
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
    """Make those of the two databases that are not there."""
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
            f"{place} expected a PostgreSQL server that lets us in, found: {_first_line(error)}"
        ) from error


def _address(parts: SplitResult, scheme: str, database: str) -> str:
    return urlunsplit((scheme, parts.netloc, f"/{database}", parts.query, ""))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
