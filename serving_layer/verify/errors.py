"""Why a verification cannot be done, and what it says when rows differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterlake.errors import PermanentError, TransientError, UsageError

if TYPE_CHECKING:
    from datetime import date


class NotPublished(PermanentError):
    """No run of the data set is published: there is nothing to verify."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        super().__init__(
            f"No run of {dataset} is published: there is nothing to verify.",
            hint=f"Load and compute first: `meterlake load {dataset} FILE`, `meterlake batch {dataset}`.",
        )


class NothingToVerify(PermanentError):
    """Neither the input nor the views have a row in the range."""

    def __init__(self, dataset: str, scope: str) -> None:
        self.dataset, self.scope = dataset, scope
        super().__init__(
            f"There is nothing to verify in {dataset}: neither the input nor the published views have a row {scope}.",
            hint="Widen --from and --to, or name another --meter-id. An empty comparison proves nothing.",
        )


class PublishUnderWay(TransientError):
    """A publish or roll-back is between its first and its last step, or was while rows were read."""

    def __init__(self, dataset: str, run_id: str) -> None:
        self.dataset, self.run_id = dataset, run_id
        super().__init__(
            f"Run {run_id} of {dataset} was being published while its views were read.",
            hint="Run verify again. `meterlake runs` finishes a publish that was interrupted.",
        )


class InputExpired(PermanentError):
    """The master data set as the run has read it cannot be read any more."""

    def __init__(self, table: str, snapshot: int, run_id: str, cause: object) -> None:
        self.table, self.snapshot, self.run_id = table, snapshot, run_id
        super().__init__(
            f"{table} cannot be read as of snapshot {snapshot}, the input of run {run_id}: {cause}",
            hint="If the snapshot has expired, recompute (`meterlake batch … --full`) and verify that run.",
        )


class MasterFilesDiffer(PermanentError):
    """The data files do not hold the rows that the table's own reader finds in them."""

    def __init__(self, table: str, listed: int, read: int) -> None:
        self.table, self.listed, self.read = table, listed, read
        super().__init__(
            f"The data files of {table} hold {read} rows, but Trino counts {listed} in the same files.",
            hint="Rows were deleted in place, or a file was changed behind the table's back.",
        )


class UnreadableFile(UsageError):
    """A file given with --against that cannot be read."""

    def __init__(self, path: str, why: str, hint: str = "") -> None:
        self.path = path
        general = "Give the history as text, as it is or packed by xz, gzip, bzip2, zip or tar."
        super().__init__(f"--against {path!r}: {why}.", hint=hint or general)


class EmptyRange(UsageError):
    """--from is not before --to."""

    def __init__(self, since: date, until: date) -> None:
        self.since, self.until = since, until
        super().__init__(
            f"The range from {since} to {until} is empty.",
            hint="--to is not included: a whole day is --from 2007-02-01 --to 2007-02-02.",
        )


class ViewsDiffer(PermanentError):
    """Published rows are not what the second engine computes."""

    def __init__(self, dataset: str, run_id: str, rows: int, views: list[str]) -> None:
        self.dataset, self.run_id, self.rows = dataset, run_id, rows
        super().__init__(
            f"Run {run_id} of {dataset} differs from its input in {rows} rows ({', '.join(views)}).",
            hint=f"Do not trust these views. `meterlake explain {dataset} METER MINUTE` shows what stands behind a row,"
            f" `meterlake batch {dataset} --full` recomputes those of batch, `meterlake rollback {dataset} RUN` goes"
            " back to an earlier run.",
        )
