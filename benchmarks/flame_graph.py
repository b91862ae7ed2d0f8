"""A flame graph as SVG: what calls is above what it calls, wide as the CPU time in it, coloured by group.

There is a writer in py-spy, for its own samples alone, and none on PyPI that takes stacks of Java and Python together.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Stack = tuple[str, ...]

WIDTH: Final = 1200
ROW: Final = 15
LETTER: Final = 6.2
"""About the width of a letter of the font, in pixels."""
DEPTH: Final = 45
MOST: Final = 180_000
"""Bytes of a picture, at most: the narrowest frames are left out until it fits."""
NATIVE: Final = 3
"""So many frames of the JVM itself are shown of a stack."""
PASSING: Final = (
    "scala/", "java/util/concurrent/", "java/lang/Thread.", "java/lang/reflect/", "jdk/internal/reflect/", "py4j/",
    "org/apache/spark/sql/execution/SQLExecution", "org/apache/spark/sql/artifact/", "org/apache/spark/JobArtifact",
    "org/apache/spark/util/Utils", "org/apache/spark/util/LazyTry", "org/apache/spark/util/SparkErrorUtils",
    "clone3", "start_thread", "thread_native_entry", "Thread::call_run", "JavaThread::",
)  # fmt: skip
"""Frames that only pass on; a stack's group is chosen with them all the same."""
MIXED: Final = "#d0d0d0"
COLOURS: Final = (
    "#e4572e", "#f3a712", "#7fb069", "#4f86c6", "#b279a2", "#76b7b2", "#d4a373", "#9c755f", "#e8c547", "#86bc9c",
    "#c97b84", "#8d99ae", "#a0c4e2", "#bc96e6", "#f08a5d", "#6a994e", "#d69f7e", "#5fa8d3", "#c9ada7", "#b5c267",
)  # fmt: skip


@dataclass
class Frame:
    """A call with all its callers, the CPU time in it, and that of each group."""

    name: str
    seconds: float = 0.0
    groups: Counter[str] = field(default_factory=Counter)
    calls: dict[str, Frame] = field(default_factory=dict)

    def add(self, stack: Sequence[str], seconds: float, group: str) -> None:
        """Add a stack's time, to this frame and those that it calls."""
        at = self
        for name in ("", *stack):
            if name:
                at = at.calls.setdefault(name, Frame(name))
            at.seconds += seconds
            at.groups[group] += seconds  # type: ignore[assignment]  # a Counter of fractions


def short(frame: str) -> str:
    """Return a frame's name without packages, anonymous functions and numbers that Java and Scala have made."""
    if " (" in frame or ("/" not in frame and "." not in frame):
        return frame
    name = re.sub(r"(\$\$Lambda|\$anonfun|\$anon\b|\$\$anon|\$\d|\+0x|0x).*", "", frame.rpartition("/")[2])
    return name.rstrip("$.") or frame


def plain(stack: Sequence[str]) -> Stack:
    """Return the frames that a reader sees: a class that calls itself stands once, what only passes on not at all.

    Of the JVM's own work, what is beyond the first few frames is left out.
    """
    kept: list[str] = []
    native = 0
    for frame in stack:
        if frame.startswith(PASSING):
            continue
        native += "::" in frame
        if native > NATIVE:
            break
        name = short(frame)
        owner = name if " (" in name else name.partition(".")[0]
        if not kept or owner != (kept[-1] if " (" in kept[-1] else kept[-1].partition(".")[0]):
            kept.append(name)
    return tuple(kept[:DEPTH])


def svg(stacks: Mapping[Stack, float], group_of: Callable[[Stack], str], title: str) -> str:
    """Return the picture. stacks: CPU seconds of each, the outermost frame first."""
    root = Frame("all")
    for stack, seconds in stacks.items():
        root.add(plain(stack), seconds, group_of(stack))
    groups = [group for group, _ in root.groups.most_common()]
    colours = {group: COLOURS[at % len(COLOURS)] for at, group in enumerate(groups)}
    least = 0.5
    while len(picture := _picture(root, colours, title, least).encode()) > MOST:
        least *= 1.3
    return picture.decode()


def _picture(root: Frame, colours: Mapping[str, str], title: str, least: float) -> str:
    """Return the picture, without frames that are narrower than ``least`` pixels."""
    legend, top = list(_legend(colours)), ROW * (len(colours) // 4 + 4)
    drawn = list(_drawn(root, 0.0, 0, root.seconds))
    shown = [(frame, x, depth) for frame, x, depth in drawn if frame.seconds / root.seconds * WIDTH >= least]
    height = top + ROW * (max((depth for _, _, depth in shown), default=0) + 2)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' font-family="monospace" font-size="10">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="4" y="14" font-size="13">{html.escape(title)}</text>',
        *legend,
    ]
    for frame, x, depth in shown:
        width, y = frame.seconds / root.seconds * WIDTH, top + ROW * depth
        said = html.escape(f"{frame.name}: {frame.seconds:.1f} s, {frame.seconds / root.seconds:.1%}")
        lines.append(
            f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.3, 0.2):.1f}" height="{ROW - 1}"'
            f' fill="{_colour(frame, colours)}"><title>{said}</title></rect>'
        )
        if letters := int((width - 4) / LETTER):
            text = frame.name if len(frame.name) <= letters else f"{frame.name[: letters - 1]}…"
            if letters > 3:
                lines.append(f'<text x="{x + 2:.1f}" y="{y + 11}">{html.escape(text)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _legend(colours: Mapping[str, str]) -> Iterator[str]:
    for at, (group, colour) in enumerate(colours.items()):
        x, y = 4 + at % 4 * (WIDTH // 4), ROW * (at // 4 + 2)
        yield f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 14}" y="{y}">{html.escape(group)}</text>'


def _drawn(frame: Frame, x: float, depth: int, total: float) -> Iterator[tuple[Frame, float, int]]:
    """Yield each frame with its left edge and its row."""
    yield frame, x, depth
    for call in sorted(frame.calls.values(), key=lambda each: each.name):
        yield from _drawn(call, x, depth + 1, total)
        x += call.seconds / total * WIDTH


def _colour(frame: Frame, colours: Mapping[str, str]) -> str:
    """Return the colour of a frame's group; grey where it has several."""
    ((group, most),) = frame.groups.most_common(1)
    return colours[group] if most > 0.8 * frame.seconds else MIXED
