"""One PostgreSQL for the whole run, and for each test a checkout of its own with databases of its own."""

import compileall
import os
import shutil
import signal
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from multidb.local.server import Server
from tests.support import forkserver, rows
from tests.support.project import FEW, LEGACY, NAMES, ON_POSTGRESQL, ROOT, Postgres, Project, unique
from tests.support.runs import MORE

FOLDER = "NEIGHBOR_TEST_SERVER"
# The data are gone when the run ends: nothing needs to survive a crash.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"} | {
    "autovacuum": "off", "jit": "off", "max_wal_size": "'128MB'"
}  # fmt: skip
# With these, no commit waits for a standby, as tests on the other server have it.
ALONE = {"wal_level": "minimal", "max_wal_senders": "0"}
# Fixtures of tests that `--quick` leaves out: servers, whole copies of the repository, and what Kubernetes renders.
SERVERS = {"postgres", "another", "manifests", "production"}
WHOLE = {"clone", "repository", "built"}
# A server and a thousand checkouts are made several times faster in memory.
MEMORY = Path("/dev/shm")
ENOUGH = 4 << 30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="a minute: unit tests, and a few of the rest")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        left_out = [item for item in items if not _is_quick(item)]
        items[:] = [item for item in items if _is_quick(item)]
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=lambda item: not _is_slow(item))  # what takes long should not begin last


def _is_quick(item: pytest.Item) -> bool:
    """Whether a test is marked as one of the few, or needs none of what takes long and is not known to be slow."""
    if item.get_closest_marker("quick"):
        return True
    return not _is_slow(item) and not SERVERS & set(getattr(item, "fixturenames", ()))


def _is_slow(item: pytest.Item) -> bool:
    return bool(item.get_closest_marker("slow") or WHOLE & set(getattr(item, "fixturenames", ())))


def _hear_signals() -> None:
    """Let signals interrupt the programs that the tests start: a background job inherits that they are ignored."""
    handlers: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGQUIT: signal.SIG_DFL,
        signal.SIGHUP: lambda *_: None,  # is caught, so that a new program has the default; this one goes on
    }
    for number, handler in handlers.items():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_configure(config: pytest.Config) -> None:
    """The controller of the workers decides where the server is; they inherit the variable."""
    _hear_signals()
    if not hasattr(config, "workerinput"):
        if "TMPDIR" not in os.environ and _is_roomy(MEMORY):
            os.environ["TMPDIR"] = str(MEMORY)
            tempfile.tempdir = None  # which reads the variable again
        folder = Path(tempfile.mkdtemp(prefix="neighbor-tests-"))
        folder.chmod(0o755)  # for the user that PostgreSQL runs as
        os.environ[FOLDER] = str(folder)
        for part in ("multidb", "tests/example", "migrations"):  # once, rather than in each process of each test
            compileall.compile_dir(ROOT / part, quiet=1)


def _is_roomy(folder: Path) -> bool:
    """Whether there is room in a file system, in which programs may be run."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize > ENOUGH and not found.f_flag & os.ST_NOEXEC


def pytest_unconfigure(config: pytest.Config) -> None:
    forkserver.stop()
    if not hasattr(config, "workerinput"):
        folder = os.environ.pop(FOLDER, None)
        if folder:
            Server(Path(folder)).remove()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what a test has recorded, such as the seed of its chance, and in one line why tests were skipped."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        each = "; ".join(f"{number}: {reason}" for reason, number in reasons.items())
        terminalreporter.write_line(f"skipped {reasons.total()} tests ({each})")
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """The server, with a template for an empty database and one for each database at head."""
    return Postgres.started(Path(os.environ[FOLDER]), FAST | ALONE)


@pytest.fixture(autouse=True)
def _new_enough(request: pytest.FixtureRequest) -> None:
    """Skip a test that needs a newer server than this run's."""
    for marker in request.node.iter_markers("needs"):
        postgres: Postgres = request.getfixturevalue("postgres")
        if postgres.major < marker.args[0]:
            pytest.skip("needs a newer PostgreSQL: run bin/test --on trixie, or --on forky")


@pytest.fixture(scope="session")
def another(postgres: Postgres) -> Iterator[Postgres]:
    """Another server, that a test may stop and set up differently; it starts again for the next one."""
    folder = Path(tempfile.mkdtemp(prefix="neighbor-another-"))
    folder.chmod(0o755)
    yield postgres.twin(folder, {"wal_level": "replica", "max_wal_senders": "10"})
    Server(folder).remove()


@pytest.fixture
def fragile(tmp_path: Path, another: Postgres) -> Iterator[Project]:
    """A checkout with a few databases at head on that other server."""
    another.restart("max_prepared_transactions", "synchronous_standby_names", "synchronous_commit")
    for made in _project(tmp_path, another, {name: f"head_{name}" for name in FEW[:-1]}):
        shutil.copy(another.folder / "investment.db", made.root / "investment.db")
        yield made
        another.restart("max_prepared_transactions", "synchronous_standby_names", "synchronous_commit")
        for gid, database in another.as_admin("SELECT gid, database FROM pg_prepared_xacts"):
            another.as_admin(f"ROLLBACK PREPARED '{gid}'", database)


@pytest.fixture
def standby(another: Postgres) -> Iterator[Postgres]:
    """A standby of that server."""
    folder = Path(tempfile.mkdtemp(prefix="neighbor-standby-"))
    folder.chmod(0o755)
    yield another.standby(folder)
    Server(folder).remove()


@pytest.fixture
def platform(another: Postgres) -> Iterator[Postgres]:
    """That other server, with nine empty databases under their own names."""
    another.restart("max_prepared_transactions", "synchronous_standby_names", "synchronous_commit")
    for name in ON_POSTGRESQL:
        another.clone(another.empty_template(name), name)
    yield another
    for name in ON_POSTGRESQL:
        another.drop(name)


@pytest.fixture
def project(tmp_path: Path, postgres: Postgres) -> Iterator[Project]:
    """A checkout with ten empty databases: location_db has PostGIS, which the role could not create."""
    yield from _project(tmp_path, postgres, {name: postgres.empty_template(name) for name in ON_POSTGRESQL})


@pytest.fixture
def migrated(tmp_path: Path, postgres: Postgres) -> Iterator[Project]:
    """A checkout with ten databases at head."""
    for made in _project(tmp_path, postgres, {name: f"head_{name}" for name in ON_POSTGRESQL}):
        made.variables |= postgres.scratch
        shutil.copy(postgres.folder / "investment.db", made.root / "investment.db")
        yield made


@pytest.fixture
def few(tmp_path: Path, postgres: Postgres) -> Iterator[Project]:
    """A checkout with a few databases at head, for what is to be tried often."""
    for made in _project(tmp_path, postgres, {name: f"head_{name}" for name in FEW[:-1]}):
        shutil.copy(postgres.folder / "investment.db", made.root / "investment.db")
        yield made


@pytest.fixture
def pair(few: Project) -> Project:
    """A checkout in which two databases on PostgreSQL have work."""
    for name in ("auth_db", "user_db"):
        few.add_revision(name, 2, MORE, 'op.drop_table("more")')
    return few


@pytest.fixture
def legacy(tmp_path: Path, postgres: Postgres) -> Iterator[Project]:
    """A checkout whose ten databases are as the former services left them, with a thousand rows in each table."""
    for made in _project(tmp_path, postgres, {name: f"legacy_{name}" for name in ON_POSTGRESQL}):
        yield _with_legacy_file(made, postgres)


@pytest.fixture
def old(tmp_path: Path, postgres: Postgres) -> Iterator[Project]:
    """The same of a few databases, for what is to be tried often."""
    for made in _project(tmp_path, postgres, {name: f"legacy_{name}" for name in FEW[:-1]}):
        yield _with_legacy_file(made, postgres)


@pytest.fixture
def alone(tmp_path: Path, postgres: Postgres) -> Iterator[Callable[[str], Project]]:
    """Makes the same of a single database, for what is to be tried very often."""
    opened = ExitStack()

    def made(name: str) -> Project:
        templates = {} if name == "investment_db" else {name: f"legacy_{name}"}
        project = opened.enter_context(contextmanager(_project)(tmp_path, postgres, templates, [name]))
        return _with_legacy_file(project, postgres)

    with opened:
        yield made


@pytest.fixture
def unwritten(tmp_path: Path, postgres: Postgres) -> Iterator[Project]:
    """A checkout with one empty database on PostgreSQL, whose branch has no revision."""
    for made in _project(tmp_path, postgres, {"auth_db": "template_empty"}, ["auth_db"]):
        made.variables |= postgres.scratch
        for path in (made.root / "migrations/versions/auth_db").glob("*.py"):
            path.unlink()
        yield made


@pytest.fixture
def checkout(tmp_path: Path) -> Project:
    """A checkout without databases: its URLs name port 1, on which nothing listens."""
    nowhere = {f"{name.upper()}_URL": f"postgresql://neighbor:s3cret@127.0.0.1:1/{name}" for name in ON_POSTGRESQL}
    return Project.copied(tmp_path / "checkout", nowhere)


@pytest.fixture
def spare(postgres: Postgres) -> Iterator[str]:
    """The name of an empty database of the role's."""
    name = unique()
    postgres.clone("template_empty", name)
    yield name
    postgres.drop(name)


def _with_legacy_file(project: Project, postgres: Postgres) -> Project:
    project.variables |= postgres.scratch
    if "investment_db" not in project.names:
        return project
    with closing(sqlite3.connect(project.root / "investment.db")) as connection, connection:
        connection.executescript((LEGACY / "investment_db.sql").read_text())
        rows.fill_file(connection)
    return project


def _project(
    tmp_path: Path, postgres: Postgres, templates: dict[str, str], names: Sequence[str] | None = None
) -> Iterator[Project]:
    prefix = unique()
    urls = {}
    for name, template in templates.items():
        postgres.clone(template, f"{prefix}_{name}")
        urls[f"{name.upper()}_URL"] = postgres.url(f"{prefix}_{name}")
    wanted = names or [name for name in NAMES if name in templates or name == "investment_db"]
    yield Project.copied(tmp_path / "checkout", urls, wanted)
    for name in templates:
        postgres.drop(f"{prefix}_{name}")
