"""The Chinese pages say what the English ones say, and nothing that cannot be typed."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator

import pytest
from alembic.config import CommandLine

from multidb import cli
from multidb.planning.selection import KNOWN_X
from tests.docs.test_reference import MADE
from tests.support.pages import LANGUAGES, TRANSLATIONS, Block, Page, Section
from tests.support.project import ROOT

TRANSLATED = [pytest.param(Page.named(name), id=name) for name in TRANSLATIONS]
QUICK_START, EVERYDAY = Page.named("docs/zh-CN/quick-start.md"), Page.named("docs/zh-CN/everyday-commands.md")
# Those that no English page is the twin of.
OWN = [pytest.param(page, id=page.name) for page in (QUICK_START, EVERYDAY)]
# The programs of a shell's commands that are none of this repository.
FOREIGN = {".", "chmod", "docker", "echo", "export", "git", "kubectl", "mkdir", "psql", "rm", "sed"}
_SPAN = re.compile(r"`([^`]+)`")
_TARGET = re.compile(r"\]\(([^()\s]+)\)")  # of links and of pictures


def _pairs(page: Page) -> list[tuple[Section, Section]]:
    """The sections of a page, each with its translation."""
    assert page.translation
    return list(zip(page.sections, page.translation.sections, strict=True))


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_headings_of_its_page(page: Page) -> None:
    assert page.translation
    assert [section.level for section in page.translation.sections] == [section.level for section in page.sections]


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_code_blocks_of_its_page(page: Page) -> None:
    """Apart from comments, and the words of a diagram. REFRESH_PAGES=1 writes output into both."""
    for section, translated in _pairs(page):
        assert list(map(_bare, translated.blocks)) == list(map(_bare, section.blocks)), translated.heading


def _bare(block: Block) -> tuple[str, str]:
    """The language of a block, and its text without what is translated."""
    code = block.code
    if block.language == "sh":
        code = re.sub(r"(^| +)#.*$", "", code, flags=re.MULTILINE)
    if block.language == "mermaid":
        code = re.sub(r"( as |: )(.*)$", r"\1", code, flags=re.MULTILINE)
    return block.language, code


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_names_the_commands_settings_and_codes_of_its_page(page: Page) -> None:
    for section, translated in _pairs(page):
        assert Counter(_spans(translated)) == Counter(_spans(section)), translated.heading


def _spans(section: Section) -> list[str]:
    return [" ".join(span.split()) for span in _SPAN.findall(f"{section.heading}\n{section.prose}")]


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_exit_codes_and_other_numbers_of_its_page(page: Page) -> None:
    for section, translated in _pairs(page):
        assert Counter(_numbers(translated)) == Counter(_numbers(section)), translated.heading


def _numbers(section: Section) -> list[str]:
    return re.findall(r"\d+", _TARGET.sub("", _SPAN.sub("", f"{section.heading}\n{section.prose}")))


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_lists_and_tables_of_its_page(page: Page) -> None:
    for section, translated in _pairs(page):
        assert re.findall(r"^(?:\||- |\d+\. )", translated.prose, re.MULTILINE) == re.findall(
            r"^(?:\||- |\d+\. )", section.prose, re.MULTILINE
        ), translated.heading


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_links_of_its_page(page: Page) -> None:
    """Those to a page that is translated, or to a heading of one, lead to the translation."""
    assert page.translation
    for section, translated in _pairs(page):
        expected = Counter(_translated(*target) for target in _targets(page, section))
        assert Counter(_targets(page.translation, translated)) == expected, translated.heading


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_page_and_its_translation_lead_to_each_other(page: Page) -> None:
    translation = page.translation
    assert translation
    for here, there in ((page, translation), (translation, page)):
        [line] = LANGUAGES.findall(here.text)
        assert _resolved(here, _TARGET.findall(line)[0]) == (there.name, "")


def _targets(page: Page, section: Section) -> list[tuple[str, str]]:
    """Where the links and pictures of a section lead, each as a place in the checkout, or an address, and an anchor."""
    return [_resolved(page, target) for target in _TARGET.findall(LANGUAGES.sub("", section.prose))]


def _resolved(page: Page, target: str) -> tuple[str, str]:
    if re.match(r"[a-z]+:", target):
        return target, ""
    file, _, anchor = target.partition("#")
    path = (page.path.parent / file).resolve() if file else page.path
    return path.relative_to(ROOT).as_posix(), anchor


def _translated(name: str, anchor: str) -> tuple[str, str]:
    """The same target in Chinese. An anchor is that of the heading at the same position."""
    page = Page.named(name)
    if page.translation is None:
        return name, anchor
    return page.translation.name, page.translation.anchors[page.anchors.index(anchor)] if anchor else ""


def test_the_everyday_commands_have_their_sections_in_order() -> None:
    sections = [section.heading for section in EVERYDAY.sections if section.level == 2]
    assert sections == ["首次迁移", "创建新迁移", "回滚", "查看状态", "Docker", "Kubernetes", "故障排查"]


@pytest.mark.parametrize("page", OWN)
def test_every_command_of_a_chinese_page_can_be_typed(page: Page) -> None:
    commands = [command for block in page.blocks() for command in _commands(block)]
    assert len(commands) > 15
    for command in commands:
        _parse(command)


@pytest.mark.parametrize("page", OWN)
def test_every_command_in_the_text_of_a_chinese_page_can_be_typed(page: Page) -> None:
    spans = [span for section in page.sections for span in _spans(section)]
    commands = [span for span in spans if re.match(r"(alembic|python|bin/\w+|docker|kubectl)( |$)", span)]
    assert len(commands) > 10
    for command in commands:
        _parse(command)
    for key in (match[1] for span in spans for match in re.finditer(r"-x (\w+)=", span)):
        assert key in KNOWN_X, key


@pytest.mark.parametrize("page", OWN)
def test_every_error_code_of_a_chinese_page_is_explained_with_the_message_beside_it(page: Page) -> None:
    sections = {section.heading[:6]: section.prose for section in Page.named("docs/troubleshooting.md").sections}
    for line in page.text.splitlines():
        for code in re.findall(r"MDB\d+", line):
            assert code in sections, line
            assert f"[{code}]" in line or any(said in sections[code] for said in _SPAN.findall(line)), line


def _commands(block: Block) -> Iterator[str]:
    """What is typed of a block of commands."""
    lines = block.code.replace("\\\n", " ").splitlines()
    if block.language == "console":
        yield from (line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    elif block.language == "sh":
        yield from (line for line in lines if line)


def _parse(command: str) -> None:
    """Read a command as its program does. One that the program does not know is an error."""
    words = shlex.split(command, comments=True)
    program = words[0]
    if program == "alembic":
        assert len(words) == 1 or CommandLine().parser.parse_args(words[1:]).cmd, command
    elif program.startswith("bin/"):
        assert os.access(ROOT / program, os.X_OK), command
    elif program != "python":
        assert program in FOREIGN or re.match(r"\w+=", program), command
    if "python" in words:  # as itself, or in a container
        rest = words[words.index("python") + 1 :]
        assert rest[:2] == ["-m", "multidb"], command
        cli._parsed(rest[2:])
    for word in words:
        place = word.lstrip(">")
        if place.startswith("deploy/") and not any(made in place for made in MADE):
            assert (ROOT / place).exists(), command
