"""Why a publish gives up."""

from __future__ import annotations

from meterlake.errors import PermanentError, TransientError


class Overtaken(TransientError):
    """Another run was published while this one was computed."""

    def __init__(self, dataset: str, run_id: str, based_on: int, newest: int | None) -> None:
        self.dataset, self.run_id = dataset, run_id
        super().__init__(
            f"Run {run_id} of {dataset} was overtaken: it starts from record {based_on}, and record {newest} is there.",
            hint="Nothing of it is visible, and its folders are removed by a later run."
            f" Run again; `meterlake runs {dataset}` shows what was published instead.",
        )


class OfEarlierVersion(PermanentError):
    """A run of a version that wrote no slices: the tables have been made again since."""

    def __init__(self, dataset: str, run_id: str) -> None:
        self.dataset, self.run_id = dataset, run_id
        super().__init__(
            f"Run {run_id} of {dataset} was written by an earlier version, whose partitions the tables do not have.",
            hint=f"Its rows are computed again from the master data set by `meterlake batch {dataset} --full`.",
        )


class FenceMoved(TransientError):
    """A process that woke up late has moved the fence of a table; the lease is still ours, so it is tried again."""

    def __init__(self, table: str, cause: object) -> None:
        super().__init__(f"Partitions of {table} were not switched: {cause}", hint="Run again.")
