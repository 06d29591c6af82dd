"""Parquet files, read by DuckDB where it is installed (the extra ``parquet``)."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from firedoor.core.errors import BadInput

MAGIC: Final = b"PAR1"
"""What a Parquet file begins with."""

INSTALL: Final = "pip install 'firedoor[parquet]'"

_BATCH: Final = 1024
_LONGEST_TEXT: Final = 201
"""Characters that are taken out of a text: one more than any text of counts may have. A few
kilobytes of a file can hold a text of half a megabyte eight thousand times."""
_PLAIN: Final = re.compile(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|BOOLEAN|DATE")
# Nothing is fetched from anywhere, and a hostile file may not take the machine's memory.
_SETTINGS: Final = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "512MB",
    "threads": "1",
}

_Table = TypeVar("_Table")


def read(path: Path, take: Callable[[Sequence[str], Iterator[tuple[Any, ...]]], _Table]) -> _Table:
    """Read a table, row by row.

    Args:
        path: The file.
        take: Gets the names of the columns and the rows; a time with a zone comes as Unix
            milliseconds, a number as the Python value nearest to it, everything else as a text
            of which no more than 201 characters are taken.

    Returns:
        What ``take`` returned.

    Raises:
        BadInput: The file is no Parquet file, or is damaged, or DuckDB is not installed.
    """
    try:
        import duckdb  # noqa: PLC0415  # an extra: only who has Parquet files needs it
    except ImportError as error:
        raise BadInput(
            f"{path.name} is a Parquet file, and DuckDB, which reads them, is not installed",
            hint=INSTALL,
        ) from error
    source = _literally(path)
    with duckdb.connect(":memory:", config=dict(_SETTINGS)) as database:
        try:
            shape = database.execute("DESCRIBE SELECT * FROM read_parquet(?)", [source]).fetchall()
            names = [str(column[0]) for column in shape]
            columns = ", ".join(_selected(str(c[0]), str(c[1])) for c in shape)
            # No text of the file stands in the statement but its columns' quoted names.
            statement = f"SELECT {columns} FROM read_parquet(?)"  # noqa: S608
            return take(names, _rows(database, statement, source))
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            raise BadInput(f"{path.name} cannot be read as Parquet: {reason}") from error


def _rows(database: Any, statement: str, source: str) -> Iterator[tuple[Any, ...]]:
    # Not before the first row is wanted: whoever takes them looks at the names first.
    database.execute(statement, [source])
    while batch := database.fetchmany(_BATCH):
        yield from batch


def _literally(path: Path) -> str:
    """The path such that no character of it is a wildcard."""
    return re.sub(r"([*?\[])", r"[\1]", str(path.absolute()))


def _selected(name: str, kind: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    # DuckDB wants a package of time zones to hand these out; they are instants anyway.
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"epoch_ms({quoted})"
    if _PLAIN.fullmatch(kind) or kind.startswith(("DECIMAL", "TIMESTAMP")):
        return quoted
    return f"left(CAST({quoted} AS VARCHAR), {_LONGEST_TEXT})"
