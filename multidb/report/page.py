"""The page: one HTML file with its style sheet, script and pictures in it, that loads nothing."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mako.lookup import TemplateLookup

from multidb.report import picture
from multidb.report.entities import Entities, Entity, Mark
from multidb.report.picture import Arrow, Box, Line, Picture
from multidb.report.reading import Report
from multidb.report.revisions import RevisionGraph

_FOLDER = Path(__file__).parent / "templates"
_SIGNS = {Mark.KEPT: "", Mark.ADDED: "+ ", Mark.CHANGED: "~ ", Mark.DROPPED: "- "}
_BAR = 100.0  # the units of the longest run's bar
_LONGEST_TITLE = 40  # characters of a revision's words in the picture


def html(report: Report) -> str:
    """The whole page; each text in it is escaped."""
    templates = TemplateLookup(
        directories=[str(_FOLDER)], default_filters=["h"], strict_undefined=True, input_encoding="utf-8"
    )
    style, script = (_FOLDER.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    page: str = templates.get_template("page.html.mako").render(
        report=report,
        style=style,
        script=script,
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'",
        has_dot=picture.is_available(),
        signs=_SIGNS,
        bar=partial(_bar, _longest(report.runs)),
        revisions_picture=_revisions_picture,
        entities_picture=_entities_picture,
        summary=_summary(report),
    )
    return page


def _hash(text: str) -> str:
    """How a content security policy names the one inline text that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _seconds(run: Mapping[str, Any]) -> float:
    """How long a run took in the database where it took longest."""
    return max((row["seconds"] or 0.0 for row in run["databases"]), default=0.0)


def _longest(runs: Sequence[Mapping[str, Any]]) -> float:
    return max(map(_seconds, runs), default=0.0)


def _bar(longest: float, run: Mapping[str, Any]) -> tuple[float, float]:
    """The seconds of a run, and the length of its bar."""
    seconds = _seconds(run)
    return seconds, max(1.0, _BAR * seconds / longest) if longest else 1.0


def _summary(report: Report) -> list[tuple[str, int, str]]:
    """The numbers at the top: a word, how many databases, and a class of the style sheet."""
    found = report.databases
    numbers = (
        ("at head", sum(each.pending == 0 for each in found), "good"),
        ("behind", sum(bool(each.pending) for each in found), "warn"),
        ("drifted", sum(bool(each.drift.differences) for each in found), "warn"),
        ("with findings", sum(bool(each.plan.counting) for each in found), "bad"),
        ("with an error", sum(bool(each.error) for each in found), "bad"),
    )
    return [(word, number, style if number else "none") for word, number, style in numbers]


def _revisions_picture(graph: RevisionGraph) -> Picture | None:
    nodes = graph.latest
    numbers = {node.name: number for number, node in enumerate(nodes)}
    boxes = [
        Box(
            node.name,
            [Line(node.title[:_LONGEST_TITLE]), *([Line("the database is here")] if node.state == "here" else [])],
            node.state,
        )
        for node in nodes
    ]
    arrows = [
        Arrow(numbers[parent], numbers[node.name], node.state)
        for node in nodes
        for parent in node.parents
        if parent in numbers
    ]
    return picture.laid_out(boxes, arrows)


def _entities_picture(entities: Entities) -> Picture | None:
    numbers = {table.name: number for number, table in enumerate(entities.tables)}
    boxes = [Box(f"{_SIGNS[table.mark]}{table.name}", _lines(table), table.mark) for table in entities.tables]
    arrows = [Arrow(numbers[each.source], numbers[each.target], each.mark) for each in entities.references]
    return picture.laid_out(boxes, arrows)


def _lines(table: Entity) -> list[Line]:
    return [
        Line(f"{_SIGNS[each.mark]}{each.name}", each.text, f"{each.mark} primary" if each.is_key else each.mark)
        for each in table.members
    ]
