"""Pages of the documentation, followed as a reader would: files are written, commands run, output compared.

Of a page's code blocks, by their language:

- `sh`: commands that have to succeed.
- `console`: commands behind `$ `, each followed by its real output, stdout and stderr as a terminal shows them. A line
  `...` stands for any number of lines. What differs from run to run (ids, times, ports, paths) is not compared.
- `diff`: a change to the file that the text before names.
- `python`: the file that the text before names. Where the text says "at the end of", any language is appended. A
  revision without `revision = ` gets the header that `alembic revision` writes.

Blocks of any other language, and those that name no file, are only read. With REFRESH_PAGES=1 in the environment,
output that differs is written into the page instead, and into its translation.
"""

import os
import re
import subprocess
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path

from tests.support.project import ROOT, Project, Result

REFRESH = bool(os.environ.get("REFRESH_PAGES"))
HOME = "/home/you/neighbor-migrations"
_WHO = {"who": "you", "host": "laptop"}
# The pages that are in two languages, and the line that leads from one to the other.
TRANSLATIONS = {"README.md": "README.zh-CN.md", "docs/runbook.md": "docs/zh-CN/runbook.md"}
LANGUAGES = re.compile(r"^(English \| \[简体中文\]\(\S+\)|\[English\]\(\S+\) \| 简体中文)\n\n", re.MULTILINE)
_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^ *(```|~~~).*?^ *\1", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^(#{1,6}) +(.*?) *#*$", re.MULTILINE)
_FILE = re.compile(r"`((?:[\w/]+/)?databases\.yaml|models/\w+\.py|migrations/versions/\w+/\w+\.py)`")
_APPENDED = re.compile(rf"at the end of\s+{_FILE.pattern}")
_END = "\x01"
# What differs from run to run, and what stands for it in a comparison.
_VARYING = (
    (r"\d{8}-\d{6}-[0-9a-f]{6}", "RUN"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME"),
    (r"since \d\d:\d\d:\d\d", "since TIME"),
    (r"\b\d+\.\d+ s\b", "SECONDS"),
    (r"blocked by .*…$", "blocked by …"),  # cut at a width, behind numbers of any width
    (r"\bpid \d+", "pid PID"),
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\bby \w+ on \S+", "by YOU"),
    (r"\b[0-9a-f]{64}\b", "SHA"),
    (r'("(?:seconds|started_at|host|who|versions|python|alembic|sqlalchemy|psycopg2)": ).*', r"\1VALUE"),
)


@dataclass(frozen=True)
class Block:
    """A code block: its language, its text, what is written before it, and where it stands in the page."""

    language: str
    code: str
    before: str
    indent: str
    span: tuple[int, int]

    @property
    def file(self) -> str | None:
        """The file that the text before names last, or says that it is appended to."""
        found = _APPENDED.findall(self.before) or _FILE.findall(self.before)
        return found[-1] if found else None

    @property
    def is_appended(self) -> bool:
        """Whether the block is the end of a file that is there."""
        return bool(_APPENDED.search(self.before))


@dataclass(frozen=True)
class Section:
    """What stands between two headings: the level of the first one, its text, and the prose and blocks below it."""

    level: int
    heading: str
    prose: str
    blocks: list[Block]


@dataclass
class Page:
    """A Markdown file of the checkout."""

    path: Path

    @classmethod
    def named(cls, name: str) -> "Page":
        """The page of this name, such as `docs/commands.md`."""
        return cls(ROOT / name)

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def name(self) -> str:
        """Where the page is in the checkout."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def translation(self) -> "Page | None":
        """The same page in Chinese, if there is one."""
        return Page.named(TRANSLATIONS[self.name]) if self.name in TRANSLATIONS else None

    @property
    def prose(self) -> str:
        """The text without its code blocks, whose lines are empty instead: offsets are those of the text."""
        return _FENCED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), self.text)

    @cached_property
    def anchors(self) -> list[str]:
        """The anchors that GitHub gives to the headings, in their order."""
        found: list[str] = []
        for _, heading in _HEADING.findall(self.prose):
            name, number = anchor(heading), 0
            while (name if not number else f"{name}-{number}") in found:
                number += 1
            found.append(name if not number else f"{name}-{number}")
        return found

    @property
    def sections(self) -> list[Section]:
        """What stands under each heading, in their order, up to the next heading of any level."""
        prose, blocks = self.prose, self.blocks()
        headings = list(_HEADING.finditer(prose))
        ends = [match.start() for match in headings[1:]] + [len(prose)]
        return [
            Section(
                len(match[1]),
                match[2],
                prose[match.end() : end],
                [block for block in blocks if match.end() <= block.span[0] < end],
            )
            for match, end in zip(headings, ends, strict=True)
        ]

    def section(self, heading: str) -> str:
        """What stands under a heading, up to the next one of its level."""
        found = re.search(
            rf"^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |^#{{1,2}} |\Z)", self.text, re.DOTALL | re.MULTILINE
        )
        assert found, heading
        return found[2]

    def blocks(self, heading: str | None = None) -> list[Block]:
        """The code blocks of the page, or of a section."""
        text = self.text
        start, end = 0, len(text)
        if heading is not None:
            start = text.index(self.section(heading))
            end = start + len(self.section(heading))
        found, last = [], start
        for match in _FENCE.finditer(text, start, end):
            code = textwrap.dedent(match[3])
            found.append(Block(match[2], code, text[last : match.start()], match[1], match.span(3)))
            last = match.end()
        return found

    def replace(self, block: Block, code: str) -> None:
        """Write a block's text anew."""
        text = self.text
        start, end = block.span
        assert textwrap.dedent(text[start:end]) == block.code, f"{self.path.name} was changed meanwhile"
        self.path.write_text(text[:start] + textwrap.indent(code, block.indent) + text[end:], encoding="utf-8")


def anchor(heading: str) -> str:
    """The anchor that GitHub gives to a heading, if no other one on the page is equal.

    https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github
    """
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # of a link, the text
    text = re.sub(r"[*`]|(?<!\w)_|_(?!\w)", "", text).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def follow(project: Project, page: Page, heading: str | None = None) -> None:
    """Do what a page, or a section of it, says, from top to bottom."""
    for number in range(len(page.blocks(heading))):
        block = page.blocks(heading)[number]  # read again: output may have been refreshed
        if block.language == "sh":
            typed(project, block.code)
        elif block.language == "console":
            _compare(project, page, block)
        elif block.file is not None and (block.is_appended or block.language in ("python", "diff")):
            write(project, block)


def typed(project: Project, commands: str) -> Result:
    """Type commands that have to succeed, with the project's virtual environment activated."""
    result = project.run("sh", "-ec", _with_venv(project, commands))
    assert result.code == 0, (commands, result)
    return result


def write(project: Project, block: Block) -> None:
    """Write the file that a block is, or change it."""
    assert block.file is not None, block
    path = project.root / block.file
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    is_entry = path == project.root / "databases.yaml" and block.is_appended
    code = textwrap.indent(block.code, "  ") if is_entry else block.code
    if block.language == "diff":
        code = _patched(there, block.code)
    elif "migrations/versions/" in block.file and "\nrevision = " not in code:
        code = _with_header(path.stem, code)
    elif block.is_appended:
        code = there + ("\n\n" if block.language == "python" else "") + code
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a `console` block, each with its output."""
    for part in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        typed = [lines.pop(0)]
        while typed[-1].endswith("\\\n"):
            typed.append(lines.pop(0).removeprefix("> "))
        yield "".join(typed).rstrip("\n"), "".join(lines)


def matches(expected: str, actual: str) -> bool:
    """Whether output is what a page says, apart from what differs from run to run."""
    pattern = "".join("(?:.*\n)*" if line == "..." else re.escape(line) + "\n" for line in _comparable(expected))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _comparable(actual))) is not None


def _comparable(text: str) -> Sequence[str]:
    for pattern, replacement in _VARYING:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    found: list[str] = []
    unordered: list[str] = []
    for line in lines:  # databases are migrated side by side, and Alembic lists branches in any order
        if " Running " in line or line.startswith("-> "):
            unordered.append(line)
            continue
        found += sorted(unordered)
        unordered = []
        found.append(line)
    return [*found, *sorted(unordered)]


def _compare(project: Project, page: Page, block: Block) -> None:
    typed = list(commands(block))
    script = "".join(f"(exit $code)\n{command}\ncode=$?\nprintf '{_END}'\n" for command, _ in typed)
    done = subprocess.run(
        ["sh", "-c", _with_venv(project, f"code=0\n{script}")],
        cwd=project.root,
        env=project.environment | {"PYTHONUNBUFFERED": "1", "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    outputs = [_public(project, output) for output in done.stdout.split(_END)[:-1]]
    assert len(outputs) == len(typed), (block.code, done.stdout)
    found = [
        expected if matches(expected, output) else output for (_, expected), output in zip(typed, outputs, strict=True)
    ]
    if REFRESH:
        shown = [_elided(expected, output) for (_, expected), output in zip(typed, found, strict=True)]
        code = "".join(f"$ {command}\n{output}" for (command, _), output in zip(typed, shown, strict=True))
        page.replace(block, code)
        translation = page.translation
        if translation and code != block.code:
            for other in [other for other in translation.blocks() if other.code == block.code][:1]:
                translation.replace(other, code)
        return
    for (command, expected), output in zip(typed, outputs, strict=True):
        assert matches(expected, output), f"{page.path.name}: $ {command}\n{output}\ninstead of\n{expected}"


def _elided(expected: str, actual: str) -> str:
    """Output with those lines left out that the page leaves out: what stays is what is most like the page's lines."""
    chunks = [chunk.splitlines() for chunk in re.split(r"^\.\.\.\n", expected, flags=re.MULTILINE)]
    lines = actual.splitlines()
    if expected == actual or len(chunks) == 1:
        return actual
    position, kept = 0, []
    for chunk in chunks:
        last = len(lines) - len(chunk)
        places = range(position, last + 1)
        best = max(places, key=lambda place: sum(map(_likeness, chunk, lines[place:])), default=last)
        best = 0 if chunk is chunks[0] else last if chunk is chunks[-1] else best
        kept.append("".join(f"{line}\n" for line in lines[best : best + len(chunk)]))
        position = best + len(chunk)
    return "...\n".join(kept)


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _public(project: Project, text: str) -> str:
    """Output without the names of the test's folder, databases, user and machine."""
    text = text.replace(str(project.root.resolve()), HOME).replace(str(project.root), HOME)
    text = re.sub(r"\bt\d+_\d+_(\w+_db)\b", r"\1", text)
    text = re.sub(r"\bby (\w+) on \S+", "by you on laptop", text)
    text = re.sub(r'"(who|host)": "[^"]*"', lambda match: f'"{match[1]}": "{_WHO[match[1]]}"', text)
    return re.sub(r"( +)\n", "\n", text)


def _with_venv(project: Project, script: str) -> str:
    """Commands as they are typed after `. .venv/bin/activate`."""
    return f"PATH={project.root}/.venv/bin:$PATH\n{script}"


def _patched(text: str, diff: str) -> str:
    lines = [line if line.strip() else " \n" for line in diff.splitlines(keepends=True)]
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(old) == 1, diff
    return text.replace(old, new)


def revision(name: str, upgrade: str, downgrade: str) -> str:
    """A revision file of this name, such as `auth_0002_add_phone`, with one statement in each direction."""
    code = f"def upgrade() -> None:\n    {upgrade}\n\n\ndef downgrade() -> None:\n    {downgrade}\n"
    return _with_header(name, code)


def _with_header(name: str, code: str) -> str:
    """A revision as `alembic revision` begins it, with a page's functions."""
    match = re.fullmatch(r"([a-z_]+)_(\d{4})_(\w+)", name)
    assert match, name
    prefix, number, slug = match.groups()
    return (
        f'"""{slug.replace("_", " ")}"""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        f'revision = "{prefix}_{number}"\ndown_revision = "{prefix}_{int(number) - 1:04}"\nbranch_labels = None\n'
        f"depends_on = None\n{'' if code.startswith('outside_transaction') else chr(10) * 2}{code}"
    )
