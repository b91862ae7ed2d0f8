"""A question about the next day that a model answers: what it is asked of, and what it may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meterlake.errors import DeclarationError
from meterlake.lakehouse.fields import check_word


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Whether something happens to a member of a dimension on the next day.

    name: of the table of answers. view: a row for each member and day, ``date_sk``, at whose end the question is asked;
    with ``next_sk``, the day that is asked about, ``happened`` on it (1, 0; NULL: not known yet), and the features,
    which are NULL or numbers that were known at the end of ``date_sk``. looks_back: features follow from facts of
    ``date_sk`` and of so many days before it. member: the natural key and the surrogate key.
    features: name -> what it is, as a reason. persistence, rate: the features that are the simplest answers: whether it
    happened today, how often it did lately.
    """

    name: str
    title: str
    view: str
    looks_back: int
    member: tuple[str, str]
    features: Mapping[str, str]
    persistence: str
    rate: str

    def __post_init__(self) -> None:
        where = f"Prediction {self.name!r}"
        check_word(self.name, where)
        if self.looks_back < 0:
            raise DeclarationError(
                where, f"looks_back={self.looks_back} is no number of days", expected="Write 0 or more"
            )
        for name in (self.persistence, self.rate):
            if name not in self.features:
                known = ", ".join(self.features)
                raise DeclarationError(where, f"{name!r} is no feature", expected=f"There are {known}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the view that a model is made of, its features last."""
        return ("date_sk", "next_sk", *self.member, "happened", *self.features)
