"""Results: raw numbers, saved, loaded and handed on in one way.

A result draws itself by `plot`, which is bound to it where its package is put together: figures take results, and
results know of no figure.
"""

import abc
import csv
import dataclasses
import io
import json
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from kdefrost.arguments import as_path
from kdefrost.files import converted, json_digest, read_json, write_atomically

# What a file ends in.
_DIGEST = "sha256"

if TYPE_CHECKING:
    import pandas


class Result(abc.ABC):
    """What all results have in common: they are frozen dataclasses of what JSON can hold, with a row for each number.

    Attributes:
        KIND: What the result is called, in its file and in errors.
        FORMAT: Changed whenever files of before come to mean something else.
    """

    KIND: ClassVar[str]
    FORMAT: ClassVar[int]

    @abc.abstractmethod
    def rows(self) -> list[list]:
        """The raw numbers, one measurement a row, in order; the first row names the columns."""

    @abc.abstractmethod
    def check(self) -> None:
        """Refuses what is of the right types and does not fit together, by a `ValueError`."""

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        """Makes a result from what `dataclasses.asdict` and JSON made of it.

        Raises:
            ValueError: If a value is missing, is of another type, or does not fit the others.
        """
        result = converted(values, cls)
        result.check()
        return result

    def to_dataframe(self) -> "pandas.DataFrame":
        """The raw numbers as a `pandas.DataFrame`, with the rows and columns of the CSV file.

        Returns:
            The data frame, one row a trial, or a comparison; NaN where there is no number.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("`to_dataframe` needs pandas: pip install pandas") from error
        head, *rows = self.rows()
        # A column with no number at all would be one of objects.
        numbers = [[math.nan if value is None else value for value in row] for row in rows]
        return pandas.DataFrame(numbers, columns=head)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the result to a JSON file, in which an infinite number is `Infinity`.

        The file ends in a digest of the rest, by which `load` tells whether that is as it was written.
        """
        values = {self._key(): self.FORMAT, **dataclasses.asdict(self)}
        write_atomically(as_path("path", path), json.dumps({**values, _DIGEST: json_digest(values)}, indent=1) + "\n")

    def save_csv(self, path: str | os.PathLike) -> None:
        """Writes the raw numbers to a CSV file, one measurement a row."""
        write_atomically(as_path("path", path), as_csv(self.rows()))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a result from the file that `save` wrote.

        Args:
            path: The JSON file.

        Returns:
            The result.

        Raises:
            ValueError: If the file is damaged, not such a result, or not as it was written.
            OSError: If there is no such file, or it may not be read.
        """
        values = read_json(as_path("path", path))
        if values.get(cls._key()) != cls.FORMAT:
            raise ValueError(f"{path} is not a {cls.KIND} of this version of kdefrost (format {cls.FORMAT}).")
        # Earlier versions wrote none.
        digest = values.pop(_DIGEST, None)
        if digest is not None and digest != json_digest(values):
            raise ValueError(
                f"{path} is not as it was written: it is damaged, or has been edited. Take a copy of it that is whole; "
                f"or, to have it as it is, delete its `{_DIGEST}`."
            )
        unknown = values.keys() - {cls._key(), *(field.name for field in dataclasses.fields(cls))}
        try:
            if unknown:
                raise ValueError(f"no {cls.KIND} has {', '.join(sorted(unknown))}")
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}.") from error

    @classmethod
    def _key(cls) -> str:
        """What a file begins with."""
        return f"kdefrost_{cls.KIND.split()[0]}"


def as_csv(rows: Sequence[Sequence]) -> str:
    """Rows as CSV, empty where there is no value."""
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def joined_rows(results: dict[str, Result], column: str) -> list[list]:
    """The rows of several results of one kind, each with its name in a first column.

    Args:
        results: The results by name, of the same columns.
        column: What the first column is called.

    Returns:
        A list of rows, the first of which names the columns.
    """
    head = [column, *next(iter(results.values())).rows()[0]]
    return [head, *([name, *row] for name, result in results.items() for row in result.rows()[1:])]
