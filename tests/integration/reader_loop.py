"""Readers of the merged views that compare every answer with the truth, while runs are published and rolled back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from meterlake.grains import Grain


@dataclass
class Answers:
    """What the readers got. wrong: the first differences, in words."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, grain: Grain, problem: str) -> None:
        self.counts["wrong" if problem else grain] += 1
        if problem:
            self.wrong.append(f"{grain}: {problem}")


@contextmanager
def reading(check: Callable[[Grain, int], str], readers: int = 3) -> Iterator[Answers]:
    """Let readers ask again and again until the body ends.

    check: asks for a view's rows (of a grain; the number varies the question) and returns what is wrong with them.
    """
    answers, stop = Answers(), threading.Event()
    grains: tuple[Grain, ...] = ("minute", "hour", "day")

    def ask(number: int) -> None:
        while not stop.is_set():
            grain = grains[number % len(grains)]
            try:
                problem = check(grain, number)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            answers.add(grain, problem)
            number += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()
