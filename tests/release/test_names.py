"""Constraints and indexes without a name get the names that plain Alembic gives them, or those of a convention."""

import re

import pytest

from tests.support.project import Project

NAMES = """
    SELECT relname, conname FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid
    WHERE t.relname IN ('t', 'users', 'users_old') AND contype <> 'n' ORDER BY 1, 2
"""
LONG = "a_table_whose_name_is_as_long_as_postgresql_takes_it_without_cut"[:60]
ID = 'sa.Column("id", sa.Integer, primary_key=True)'
CREATE = f'op.create_table("t", {ID}, '
ENUM = 'sa.Enum("a", "b", native_enum=False, create_constraint=True)'
FOREIGN = 'sa.ForeignKeyConstraint(["r"], ["users.user_id"])'
# What runs, and the names of what it leaves unnamed.
UNNAMED = {
    "a CHECK": (CREATE + 'sa.Column("n", sa.Integer), sa.CheckConstraint("n > 0"))', ["t_n_check", "t_pkey"]),
    "a CHECK of a column": (
        CREATE + 'sa.Column("n", sa.Integer, sa.CheckConstraint("n > 0")))',
        ["t_n_check", "t_pkey"],
    ),
    "a CHECK that is added": (
        CREATE + 'sa.Column("n", sa.Integer)); op.create_check_constraint(None, "t", "n > 0")',
        ["t_n_check", "t_pkey"],
    ),
    "a text enum": (CREATE + f'sa.Column("n", {ENUM}))', ["t_n_check", "t_pkey"]),
    "a text enum that is added": (
        CREATE.rstrip(", ") + f'); op.add_column("t", sa.Column("n", {ENUM}))',
        ["t_n_check", "t_pkey"],
    ),
    "a Boolean": (CREATE + 'sa.Column("n", sa.Boolean(create_constraint=True)))', ["t_pkey"]),
    "two foreign keys of one column": (
        CREATE + f'sa.Column("r", sa.Uuid), {FOREIGN}, {FOREIGN})',
        ["t_pkey", "t_r_fkey", "t_r_fkey1"],
    ),
    "unique columns": (
        CREATE + 'sa.Column("a", sa.Integer), sa.Column("b", sa.Integer, unique=True), sa.UniqueConstraint("a", "b"))',
        ["t_a_b_key", "t_b_key", "t_pkey"],
    ),
}


@pytest.mark.parametrize("kind", UNNAMED)
def test_what_has_no_name_is_named_by_postgresql(few: Project, kind: str) -> None:
    upgrade, expected = UNNAMED[kind]
    few.add_revision("auth_db", 2, upgrade, 'op.drop_table("t")')
    few.done("upgrade", "heads")
    assert [name for table, name in few.rows("auth_db", NAMES) if table == "t"] == expected
    few.done("downgrade", "auth_db@-1")
    assert "-- auth_db: upgrade" in few.done("upgrade", "auth_0001:auth_0002", "--sql").out


@pytest.mark.parametrize("kind", [kind for kind in UNNAMED if "added" not in kind])
def test_what_has_no_name_runs_on_sqlite(few: Project, kind: str) -> None:
    upgrade = UNNAMED[kind][0].replace("users.user_id", "investments.investment_id")
    few.add_revision("investment_db", 2, upgrade, 'op.drop_table("t")')
    few.done("upgrade", "heads")
    [(sql,)] = few.rows("investment_db", "SELECT sql FROM sqlite_master WHERE name = 't'")
    assert "CONSTRAINT" not in sql


def test_a_table_that_takes_the_name_of_a_renamed_one(few: Project) -> None:
    few.add_revision("auth_db", 2, f'op.rename_table("users", "users_old"); op.create_table("users", {ID})')
    few.done("upgrade", "heads")
    assert ("users", "users_pkey1") in few.rows("auth_db", NAMES)


def test_an_index_in_another_schema(few: Project) -> None:
    few.add_revision(
        "auth_db", 2, f'op.execute("CREATE SCHEMA s"); {CREATE}sa.Column("c", sa.Integer, index=True), schema="s")'
    )
    few.add_revision("auth_db", 3, 'op.drop_index("ix_s_t_c", "t", schema="s")')
    few.done("upgrade", "auth_0002")
    few.done("upgrade", "auth_0003")
    assert few.versions()["auth_db"] == ["auth_0003"]


def test_a_name_that_is_too_long_is_cut_as_postgresql_cuts_it(few: Project) -> None:
    few.add_revision(
        "auth_db", 2, f'op.create_table("{LONG}", sa.Column("a_column_with_a_name", sa.Integer, unique=True))'
    )
    few.done("upgrade", "heads")
    names = few.rows(
        "auth_db", f"SELECT conname FROM pg_constraint WHERE conrelid = '{LONG}'::regclass AND contype = 'u'"
    )
    few.rows("auth_db", f"CREATE SCHEMA other; CREATE TABLE other.{LONG} (a_column_with_a_name int UNIQUE)")
    assert names == few.rows(
        "auth_db", f"SELECT conname FROM pg_constraint WHERE conrelid = 'other.{LONG}'::regclass AND contype = 'u'"
    )


@pytest.mark.parametrize("name", ["auth_db", "investment_db"])
def test_batch_mode_with_a_convention_of_its_own(few: Project, name: str) -> None:
    few.rows(name, "CREATE TABLE t (c INTEGER UNIQUE, d INTEGER)")
    constraint = "uq_t_c" if name == "investment_db" else "t_c_key"
    few.add_revision(
        name,
        2,
        'convention = {"uq": "uq_%(table_name)s_%(column_0_name)s"}\n'
        '    with op.batch_alter_table("t", naming_convention=convention) as batch:\n'
        f'        batch.drop_constraint("{constraint}", type_="unique")',
    )
    few.done("upgrade", "heads")
    few.rows(name, "INSERT INTO t VALUES (1, 1), (1, 2)")


CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def configured(project: Project, name: str, convention: dict[str, str]) -> None:
    text = (project.root / "databases.yaml").read_text()
    pairs = ", ".join(f'{key}: "{value}"' for key, value in convention.items())
    project.write("databases.yaml", re.sub(rf"({name}: +{{)", rf"\g<1>naming_convention: {{{pairs}}}, ", text))


@pytest.mark.parametrize("name", ["auth_db", "investment_db"])
def test_a_branch_that_was_written_with_a_convention(few: Project, name: str) -> None:
    configured(few, name, CONVENTION)
    columns = 'sa.Column("n", sa.Integer, unique=True), sa.CheckConstraint("n > 0", name="positive")'
    few.add_revision(name, 2, f"{CREATE}{columns})")
    few.add_revision(
        name,
        3,
        'with op.batch_alter_table("t") as batch:\n        batch.drop_constraint("uq_t_n", type_="unique")\n'
        '        batch.drop_constraint("positive", type_="check")',
    )
    few.add_revision("user_db", 2, f"{CREATE}{columns})")
    few.done("upgrade", f"{name}@+1")
    few.done("upgrade", "heads")
    assert [constraint for table, constraint in few.rows("user_db", NAMES) if table == "t"] == [
        "positive", "t_n_key", "t_pkey",
    ]  # fmt: skip
    few.rows(name, "INSERT INTO t VALUES (1, 0), (2, 0)")
    assert (
        "pk_t" in few.done("upgrade", f"{name.removesuffix('_db')}_0001:{name.removesuffix('_db')}_0002", "--sql").out
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "naming_convention should be a mapping of names to values"),
        ("{unique: x}", "unknown key 'unique' in naming_convention"),
        ('{uq: "uq_%(table)s"}', "naming_convention: uq: %(table)s is none of SQLAlchemy's tokens"),
        ('{uq: "uq_%(table_name)"}', "naming_convention: uq: uq_%(table_name) is none of SQLAlchemy's tokens"),
        ("{uq: [x]}", "uq should be a text"),
    ],
)
def test_a_convention_that_cannot_be(checkout: Project, value: str, expected: str) -> None:
    text = (checkout.root / "databases.yaml").read_text()
    checkout.write("databases.yaml", re.sub(r"(auth_db: +{)", rf"\g<1>naming_convention: {value}, ", text))
    error = checkout.alembic("-x", "db=auth_db", "current").error
    assert expected in error
    assert "databases.yaml:" in error
