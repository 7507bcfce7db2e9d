"""What is in the code is on its page: commands, options, exit codes, settings, variables, messages, places."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from alembic.config import CommandLine

from multidb.advice.codes import Code
from multidb.config import reader, settings
from multidb.database import journal
from multidb.rehearsal.rules import all_rules
from tests.support.pages import Page
from tests.support.project import ROOT

COMMANDS, CONFIGURATION = Page.named("docs/commands.md"), Page.named("docs/configuration.md")
TROUBLESHOOTING = Page.named("docs/troubleshooting.md")
DEPLOYMENT, ARCHITECTURE = Page.named("docs/deployment.md"), Page.named("docs/architecture.md")
ENTRYPOINT = (ROOT / "deploy/docker-entrypoint.sh").read_text()


def _rows(text: str) -> list[str]:
    """The first cells of the tables in a text."""
    return re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)


def _help(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "multidb", *arguments, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def _commands() -> list[str]:
    return re.findall(r"^ {2,4}([a-z]+) {2,}\S", _help().rpartition("COMMAND")[2], re.MULTILINE)


def test_every_command_has_its_section_and_no_other_has() -> None:
    sections = re.findall(r"^### (\w+)$", COMMANDS.section("python -m multidb"), re.MULTILINE)
    assert len(sections) >= 9
    assert sorted(sections) == sorted(_commands())


def test_every_option_of_a_command_is_on_its_page() -> None:
    for command in _commands():
        for option in set(re.findall(r"--[a-z][a-z-]+", _help(command))) - {"--help"}:
            assert f"`{option}" in COMMANDS.section(command), (command, option)
    for option in set(re.findall(r"(?<![\w-])--?[a-z]+", _help().partition("commands:")[0])) - {"--help", "-h", "-m"}:
        assert f"`{option}" in COMMANDS.section("python -m multidb"), option


def test_the_everyday_commands_of_the_readme_can_be_typed() -> None:
    [block] = Page.named("README.md").blocks("Everyday commands")
    lines = block.code.splitlines()
    assert len(lines) == 10
    for line in lines:
        program, *words = shlex.split(line, comments=True)
        if program == "alembic":
            assert CommandLine().parser.parse_args(words).cmd, line
        else:
            assert words[:2] == ["-m", "multidb"], line
            assert words[2] in _commands(), line


@pytest.mark.parametrize("name", ["upgrade", "downgrade", "stamp", "current", "check", "history", "revision", "merge"])
def test_alembics_commands_have_a_section(name: str) -> None:
    assert COMMANDS.section(f"alembic {name}")


def test_every_rule_of_plan_has_its_section_with_its_severity() -> None:
    page = Page.named("docs/plan-rules.md")
    assert re.findall(r"^## (.*)$", page.text, re.MULTILINE) == [rule.id for rule in all_rules()]
    for rule in all_rules():
        assert f"Severity: {rule.severity}." in page.section(rule.id)


def test_every_setting_is_on_the_configuration_page_with_its_default() -> None:
    section = CONFIGURATION.section("Settings of a run")
    rows = {match[0]: match[1] for match in re.findall(r"^\| `(\w+)` \|.*\| (.*?) \|$", section, re.MULTILINE)}
    assert set(rows) == set(settings.OF_ALL)
    defaults = settings.Settings()
    for key, shown in rows.items():
        read = settings.value(key, shown.strip("`"), key)
        assert read == getattr(defaults, key), key


def test_every_key_of_x_and_of_an_entry_is_on_the_configuration_page() -> None:
    in_entry = CONFIGURATION.section("databases.yaml").partition("In a database's entry")[2]
    for key in (*settings.OF_ONE, "models", "url", "extensions", "drift"):
        assert f"`{key}`" in in_entry, key
    from multidb.planning.selection import KNOWN_X

    for key in set(KNOWN_X) - set(settings.OF_ALL):
        assert f"| `{key}` |" in CONFIGURATION.section("-x"), key


def test_every_variable_is_on_the_configuration_page() -> None:
    variables = {variable for path in ROOT.glob("multidb/**/*.py") for variable in _named(path.read_text())}
    assert {"DATABASE_ADMIN_URL", "SCRATCH_SERVER_URL"} <= variables
    for variable in variables:
        assert f"`{variable}`" in CONFIGURATION.section("Variables"), variable


def _named(text: str) -> set[str]:
    return set(re.findall(r'"([A-Z_]+_URL)"', text))


def test_the_configuration_examples_can_be_read(tmp_path: Path) -> None:
    whole = tmp_path / "databases.yaml"
    examples = [block.code for page in (CONFIGURATION, Page.named("README.md"), Page.named("docs/drift.md"))
                for block in page.blocks() if block.language == "yaml"]  # fmt: skip
    assert len(examples) >= 4
    for example in examples:
        whole.write_text(example if "databases:" in example else f"{example}\ndatabases: {{a_db: {{models: m}}}}\n")
        assert reader.load(whole).names, example
        assert yaml.safe_load(example)


def test_every_column_of_the_journal_is_explained() -> None:
    section = Page.named("docs/how-it-works.md").section("The journal")
    shown = re.findall(r"`(\w+)`", "".join(_rows(section)))
    assert shown == re.findall(r"^    (\w+) [A-Z]", journal.CREATE, re.MULTILINE)


def test_every_variable_of_the_entrypoint_is_on_the_deployment_page_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(MIGRATE_\w+)` \| (.*) \|$", DEPLOYMENT.text, re.MULTILINE))
    defaults = dict(re.findall(r"\$\{(MIGRATE_\w+):-(\w*)\}", ENTRYPOINT))
    assert set(rows) == set(defaults) == set(re.findall(r"MIGRATE_\w+", ENTRYPOINT))
    for variable, default in defaults.items():
        if default:
            assert re.search(rf"default `?{default}\b", rows[variable]), variable


def test_every_component_is_on_the_deployment_page() -> None:
    listed = re.findall(r"`([\w-]+)`", "".join(_rows(DEPLOYMENT.section("Components"))))
    # `release` is how the overlays themselves are made.
    assert set(listed) == {path.name for path in (ROOT / "deploy/k8s/components").iterdir()} - {"backups", "release"}


def test_every_place_that_a_page_names_is_there() -> None:
    named = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "bench/README.md")
    pages = [*map(ROOT.joinpath, named), *(ROOT / "docs").rglob("*.md")]
    prefix = r"(?:multidb|models|migrations|tests|deploy|bench|docs|bin)/"
    for page in pages:
        prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for place in re.findall(rf"`({prefix}[\w./-]*)`", prose):
            if not any(made in place for made in MADE):
                assert (ROOT / place).exists(), f"{page.name}: {place}"


# What a reader of a page makes.
MADE = ("pet", "garden", "_0002_", "_0003_", "NAME", "deploy/secrets")


def test_every_room_of_the_engine_is_on_the_architecture_page() -> None:
    rows = "".join(_rows(ARCHITECTURE.section("The rooms of multidb")))
    rooms = {path.parent.name for path in (ROOT / "multidb").glob("*/__init__.py")}
    assert set(re.findall(r"`multidb/(\w+)/`", rows)) == rooms


def test_commands_for_a_cluster_name_what_is_there() -> None:
    from tests.docs.test_followed import ELSEWHERE

    for page in (DEPLOYMENT, Page.named("docs/migrating-from-per-service-alembic.md")):
        for block in page.blocks():
            for command in block.code.splitlines() if block.language == "sh" else []:
                if ELSEWHERE.match(command):
                    for word in shlex.split(command.replace("\\", "")):
                        assert "deploy/" not in word or (ROOT / word).exists(), command


def test_every_code_has_its_section_with_message_cause_effect_and_what_to_type() -> None:
    assert re.findall(r"^### (MDB\d{3}): \w", TROUBLESHOOTING.text, re.MULTILINE) == [str(code) for code in Code]
    for section in re.split(r"^### ", TROUBLESHOOTING.text, flags=re.MULTILINE)[1:]:
        items = re.findall(r"^- (.*?):", section, re.MULTILINE)
        assert items == ["Message", "Cause", "Effect", "What to type"], section


def test_every_code_is_given_to_an_error() -> None:
    scripts = [*ROOT.glob("bin/*"), *ROOT.glob("deploy/ci/*"), ROOT / "deploy/docker-entrypoint.sh"]
    said = "".join(path.read_text() for path in scripts)
    code = "".join(path.read_text() for path in ROOT.glob("multidb/**/*.py"))
    for each in Code:
        assert f"Code.{each.name}" in code or f"[{each}]" in said, each


def test_every_error_of_a_script_ends_with_a_code() -> None:
    for path in (*ROOT.glob("bin/*"), *ROOT.glob("deploy/ci/*"), ROOT / "deploy/docker-entrypoint.sh"):
        for said in re.findall(r'"error: [^\n]*?"(?=[;) >]|$)', path.read_text(), re.MULTILINE):
            match = re.search(r'\[(MDB\d{3})\]"$', said)
            assert match and match[1] in list(Code), f"{path.name}: {said}"


# Of a server that is just starting, a server without a line for this host, and a file system that is read-only.
NOT_PROVOKED = {
    "the database system is starting up",
    "no pg_hba.conf entry for host",
    "attempt to write a readonly database",
}


def test_every_message_of_the_troubleshooting_page_is_one_that_is_said() -> None:
    """By the program, by a script, or by a driver or server that a test makes say it."""
    files = [*ROOT.glob("multidb/**/*.py"), *ROOT.glob("tests/**/test_*.py"), *ROOT.glob("bin/*")]
    files += [*ROOT.glob("deploy/ci/*"), ROOT / "deploy/docker-entrypoint.sh"]
    text = "".join(path.read_text() for path in files if path.parent != Path(__file__).parent)
    said = _bare(text) + _bare(re.sub(r'"\n\s+f?"', "", text))  # with the seams of long strings, and without
    items = re.findall(r"^- Message: (.*?)^- ", TROUBLESHOOTING.text, re.MULTILINE | re.DOTALL)
    assert len(items) > 100
    for message in set(re.findall(r"`([^`]+)`", "".join(items))) - NOT_PROVOKED:
        for part in re.split(r"…|'0001'|\d", _bare(" ".join(message.split()))):
            assert part.strip() in said, message


def _bare(text: str) -> str:
    """The text without names in quotation marks, which differ."""
    return re.sub(r'"[\w…]*"', "", text)
