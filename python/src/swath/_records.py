"""What a coordinator answers: rows, for loops and for pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping

from ._errors import Error

if TYPE_CHECKING:
    import pandas


class Records(List[Dict[str, Any]]):
    """Rows as dictionaries."""

    def to_pandas(self) -> "pandas.DataFrame":
        """A row for each record; what is nested has dots in the names of its columns."""
        try:
            import pandas
        except ImportError:
            raise Error("pandas is not installed; `pip install 'swath[pandas]'` does that") from None
        return pandas.json_normalize(list(self))


class Table(Records):
    """A sweep's table: a row for each cell, with its parameters beside ``n``, ``median``, ``min``, ``max``, ``values``
    and the other fields of ``coordinator table -o json``, which is ``document`` as a whole.

    A parameter that is named like such a field has ``params.`` before its name.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        super().__init__(_cell(row) for row in document["rows"])

    @property
    def sweep(self) -> str:
        """The name of the sweep."""
        return str(self.document["sweep"])

    @property
    def metric(self) -> str:
        """What ``median`` and the others are of."""
        return str(self.document["metric"])


def _cell(row: Mapping[str, Any]) -> Dict[str, Any]:
    fields = {name: value for name, value in row.items() if name != "axes"}
    return {**_beside(row["axes"], fields, "params"), **fields}


def points(document: Mapping[str, Any]) -> Iterable[Dict[str, Any]]:
    """The rows of ``curves -o json``: one for each epoch of each attempt, with its metrics by name."""
    job = document["job"]
    for point in document["points"]:
        seen = dict(point["observation"])
        metrics = seen.pop("metrics", {})
        row = {
            "job": job["digest"],
            "cell": job["cell"],
            "replicate": job["replicate"],
            "attempt": point["attempt"],
            **seen,
        }
        yield {**row, **_beside(metrics, row, "metrics")}


def _beside(values: Mapping[str, Any], fields: Mapping[str, Any], prefix: str) -> Dict[str, Any]:
    """The values, under names that no field has."""
    return {f"{prefix}.{name}" if name in fields else name: value for name, value in values.items()}
