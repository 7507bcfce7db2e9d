"""A picture of boxes and arrows, laid out by Graphviz' `dot` and drawn as SVG.

`dot` sees sizes and numbers only: no name of a table can be read as its language, and the page's style sheet decides
the colours, light or dark.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_CHARACTER, _LINE, _PADDING = 7.3, 19.0, 12.0  # pixels, of the monospaced font of the style sheet
_DOTS = 72.0  # pixels in an inch, dot's unit
_IN_A_ROW = 3  # boxes without an arrow
_TIMEOUT = 20.0  # seconds for a layout


@dataclass(frozen=True)
class Line:
    """A line of a box: at the left its name, at the right a text."""

    name: str
    text: str = ""
    style: str = ""  # classes of the style sheet


@dataclass(frozen=True)
class Box:
    """A box with a title and lines below."""

    name: str
    lines: Sequence[Line] = ()
    style: str = ""

    @property
    def width(self) -> float:
        longest = max([len(self.name), *(len(each.name) + len(each.text) + 3 for each in self.lines)])
        return longest * _CHARACTER + 2 * _PADDING

    @property
    def height(self) -> float:
        return (len(self.lines) + 1) * _LINE + _PADDING


@dataclass(frozen=True)
class Arrow:
    """From one box to another, by their numbers."""

    source: int
    target: int
    style: str = ""


@dataclass(frozen=True)
class Placed:
    """A box with the place of its top left corner, in pixels."""

    box: Box
    x: float
    y: float

    @property
    def rows(self) -> list[tuple[float, Line]]:
        """Each line with the y of its text."""
        return [(self.y + _LINE * (number + 2), line) for number, line in enumerate(self.box.lines)]


@dataclass(frozen=True)
class Picture:
    """Boxes and arrows with their places.

    Attributes:
        paths: the SVG path of each arrow, with its style.
    """

    width: float
    height: float
    boxes: Sequence[Placed] = ()
    paths: Sequence[tuple[str, str]] = ()
    padding: float = _PADDING
    line: float = _LINE


def is_available() -> bool:
    """Whether there is a `dot` on the PATH."""
    return shutil.which("dot") is not None


def laid_out(boxes: Sequence[Box], arrows: Sequence[Arrow], direction: str = "LR") -> Picture | None:
    """Let `dot` find the places.

    Args:
        direction: of the arrows, `LR` or `TB`.

    Returns:
        The picture, or None without `dot`, or where it fails.
    """
    program = shutil.which("dot")
    if program is None or not boxes:
        return None
    try:
        done = subprocess.run(
            [program, "-Tplain"],
            input=_source(boxes, arrows, direction),
            capture_output=True,
            text=True,
            check=True,
            timeout=_TIMEOUT,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return _read(done.stdout, boxes, arrows)


def _source(boxes: Sequence[Box], arrows: Sequence[Arrow], direction: str) -> str:
    nodes = [
        f"{number} [width={box.width / _DOTS:.3f}, height={box.height / _DOTS:.3f}]" for number, box in enumerate(boxes)
    ]
    edges = [f"{arrow.source} -> {arrow.target}" for arrow in arrows]
    # Boxes without an arrow would be one below the other: rows of them are read better.
    connected = {number for arrow in arrows for number in (arrow.source, arrow.target)}
    alone = [number for number in range(len(boxes)) if number not in connected]
    rows = [alone[first : first + _IN_A_ROW] for first in range(0, len(alone), _IN_A_ROW)]
    edges += [f"{' -> '.join(map(str, row))} [style=invis]" for row in rows if len(row) > 1]
    options = f'rankdir={direction}; nodesep=0.3; ranksep=0.5; node [shape=box, fixedsize=true, label=""]'
    return f"digraph {{ {options}; {'; '.join([*nodes, *edges])} }}"


def _read(text: str, boxes: Sequence[Box], arrows: Sequence[Arrow]) -> Picture:
    """The layout, from https://graphviz.org/docs/outputs/plain/, whose y grows upwards."""
    width = height = 0.0
    placed: dict[int, Placed] = {}
    styles: dict[tuple[int, int], list[str]] = {}
    for arrow in arrows:
        styles.setdefault((arrow.source, arrow.target), []).append(arrow.style)
    paths: list[tuple[str, str]] = []
    for words in map(str.split, text.splitlines()):
        match words[0]:
            case "graph":
                width, height = float(words[2]) * _DOTS, float(words[3]) * _DOTS
            case "node":
                box, x, y = boxes[int(words[1])], float(words[2]) * _DOTS, height - float(words[3]) * _DOTS
                placed[int(words[1])] = Placed(box, x - box.width / 2, y - box.height / 2)
            case "edge":
                numbers = [float(each) * _DOTS for each in words[4 : 4 + 2 * int(words[3])]]
                points = [f"{x:.1f} {height - y:.1f}" for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
                if left := styles.get((int(words[1]), int(words[2]))):  # the others are invisible
                    paths.append((f"M{points[0]} C{', '.join(points[1:])}", left.pop(0)))
    return Picture(width, height, [placed[number] for number in range(len(boxes))], paths)
