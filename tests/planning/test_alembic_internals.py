"""What this project builds on in Alembic without Alembic promising it: a change must be noticed here first."""

import inspect
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.operations import Operations
from alembic.operations.ops import AddColumnOp, CreateIndexOp, CreateTableOp, UpgradeOps
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, StampStep
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, CheckConstraint, Column, Index, MetaData, String, Table, Text, create_engine, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import OperationalError

from multidb.planning import alembic_internals
from tests.support.project import FEW, Project

PROBE = """
from alembic import context
from multidb.planning.environment import Request

request = Request.received()
print(request.command, request.symbols, request.start)
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("upgrade auth_db@+1", "upgrade ('auth_db@+1',) None"),
        ("upgrade a:b --sql", "upgrade ('b',) a"),
        ("downgrade -1", "downgrade ('-1',) None"),
        ("stamp a b", "stamp ('a', 'b') None"),
        ("current", "current () None"),
        ("history", "history () None"),
        ("show current", "show () None"),
        ("edit current", "edit () None"),
        ("ensure_version", "ensure_version () None"),
        ("merge a b", "merge () None"),
        ("check", "check ('head',) None"),
        ("revision --autogenerate", "revision ('head',) None"),
        ("revision --head auth_db@head -m x", "revision ('auth_db@head',) None"),
    ],
)
def test_the_command_that_alembic_runs_is_recognised(checkout: Project, arguments: str, expected: str) -> None:
    checkout.write("migrations/env.py", PROBE)
    assert checkout.alembic(*arguments.split()).out.splitlines()[0] == expected


def test_the_steps_of_upgrade_downgrade_and_stamp_have_their_private_functions() -> None:
    for name, arguments in {
        "_upgrade_revs": ["destination", "current_rev"],
        "_downgrade_revs": ["destination", "current_rev"],
        "_stamp_revs": ["revision", "heads"],
    }.items():
        assert list(inspect.signature(getattr(ScriptDirectory, name)).parameters)[1:] == arguments


def test_a_stamp_step_is_made_of_these_arguments() -> None:
    arguments = ["from_", "to_", "is_upgrade", "branch_move", "revision_map"]
    assert list(inspect.signature(StampStep).parameters) == arguments


def test_purge_is_an_option_of_the_context() -> None:
    assert 'self.purge = opts.get("purge", False)' in inspect.getsource(MigrationContext.__init__)


def test_the_revision_map_of_a_script_directory_can_be_replaced() -> None:
    assert "self.revision_map = " in inspect.getsource(ScriptDirectory.__init__)


def test_what_a_command_prints_goes_through_the_configuration() -> None:
    assert "self.stdout" in inspect.getsource(Config.print_stdout)


def test_merge_writes_its_file_through_generate_revision() -> None:
    assert "script.generate_revision(" in inspect.getsource(command.merge)


def test_options_stay_from_one_database_to_the_next() -> None:
    """The reason why Environment gives each of them every time."""
    assert "opts = self.context_opts" in inspect.getsource(EnvironmentContext.configure)


def test_a_context_keeps_options_that_it_does_not_know(checkout: Project) -> None:
    """By such an option `rollback` and `adopt` give env.py their targets."""
    config = Config(checkout.root / "alembic.ini")
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=alembic_internals.no_steps, multidb_targets="these") as context:
        context.configure(dialect_name="sqlite")
        assert context.get_context().opts["multidb_targets"] == "these"


# The databases of the template were made by one run.
FEW_ALONE = f"db={','.join(FEW)}"
PLAIN = """
from alembic import context
from sqlalchemy import create_engine

with create_engine("sqlite:///investment.db").connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    print("ran", context.get_context().get_current_heads())
"""


@pytest.mark.parametrize("command_line", [["-x", FEW_ALONE, "rollback", "--yes"], ["adopt", "investment_db"]])
def test_an_env_py_that_ignores_the_targets_changes_nothing(few: Project, command_line: list[str]) -> None:
    if command_line[0] == "adopt":
        few.rows("investment_db", "UPDATE alembic_version SET version_num = '0001'")
    before, dump = few.versions(), few.rows("auth_db", "SELECT count(*) FROM pg_class")
    few.write("migrations/env.py", PLAIN)
    result = few.multidb(*command_line)
    assert result.code == 0, result
    assert "ran " in result.out
    assert few.versions() == before
    assert few.rows("auth_db", "SELECT count(*) FROM pg_class") == dump


def test_ensure_version_makes_the_table_everywhere(project: Project) -> None:
    project.done("ensure_version")
    assert project.has_version_table("auth_db")
    assert project.rows("investment_db", "SELECT count(*) FROM alembic_version") == [(0,)]


def test_expressions_and_defaults_of_revision_files_go_through_these_methods_of_the_impl() -> None:
    alembic = MigrationContext.configure(dialect_name="postgresql+psycopg2")
    alembic_internals.replace_expressions(alembic, lambda text, has_binds: f"{text} {has_binds}")
    column = Column("a", Text, server_default=text("'50%'"))
    Table("t", MetaData(), column, CheckConstraint("a <> 'x'"), Index("i", text("lower(a)")))
    script = UpgradeOps([CreateTableOp.from_table(column.table), CreateIndexOp.from_index(*column.table.indexes)])
    written = render_python_code(script, migration_context=alembic)
    assert "sa.text(\"'50%%' True\")" in written
    assert "sa.CheckConstraint(\"a <> 'x' True\")" in written
    assert "sa.literal_column('lower(a) False')" in written
    for answer in (True, False):
        other = MigrationContext.configure(dialect_name="postgresql+psycopg2")
        alembic_internals.replace_default_comparison(other, {column: answer}.get)
        impl: Any = other.impl
        assert impl.compare_server_default(column, column, "'a'", "'a'") is answer


def test_an_operation_is_rendered_as_revision_files_have_it_with_its_imports() -> None:
    options = {"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op.", "user_module_prefix": None}
    alembic = MigrationContext.configure(dialect_name="postgresql+psycopg2", opts=options)
    operation = AddColumnOp("t", Column("doc", JSONB()))
    code, imports = alembic_internals.rendered(operation, alembic)
    assert "op.add_column('t', sa.Column('doc', postgresql.JSONB(" in code
    assert imports == {"from sqlalchemy.dialects import postgresql"}


def test_a_type_is_rendered_as_revision_files_have_it() -> None:
    alembic = MigrationContext.configure(dialect_name="postgresql+psycopg2")
    autogen_context = AutogenContext(alembic, opts={"sqlalchemy_module_prefix": "sa.", "user_module_prefix": None})
    assert alembic_internals.rendered_type(String(20), autogen_context) == "sa.String(length=20)"


def test_a_batch_hands_its_operations_to_the_function_that_applies_them() -> None:
    applied: list[alembic_internals.Batch] = []
    described = Table("t", MetaData(), Column("a", Text), CheckConstraint("a <> 'x'", name="ck"))
    with create_engine("sqlite://").connect() as connection:
        described.create(connection)
        connection.commit()
        op = Operations(MigrationContext.configure(connection))

        def apply(batch: alembic_internals.Batch) -> None:
            assert connection.in_transaction()
            applied.append(batch)

        with alembic_internals.batches_applied_by("sqlite", apply):
            with op.batch_alter_table("t", copy_from=described, recreate="always") as batch:
                batch.alter_column("a", new_column_name="b", type_=Boolean(create_constraint=True), nullable=False)
                batch.drop_constraint("ck")
            with pytest.raises(OperationalError), op.batch_alter_table("no") as batch:  # in place, by Alembic
                batch.create_index("i", ["a"])
        assert not connection.in_transaction()  # the batch had one of its own
        with op.batch_alter_table("t", copy_from=described, recreate="always") as batch:  # Alembic's own again
            batch.drop_constraint("ck")
    [found] = applied
    names = [name for name, _, _ in found.operations]
    assert names == ["alter_column", "add_constraint", "drop_constraint"]
    changes = found.operations[0][2]
    assert (changes["name"], changes["nullable"], changes["server_default"]) == ("b", False, False)
    assert alembic_internals.is_type_bound(found.operations[1][1][0])
    assert not alembic_internals.is_type_bound(found.operations[2][1][0])
    assert [each.name for each in found.described if each.name] == ["ck"]
