"""`check` and `revision`: what differs between models and databases, and the revisions that remove the difference."""

import re

import pytest

from tests.support.project import NAMES, ON_POSTGRESQL, Postgres, Project

NOTHING = "Nothing to write: every branch makes what its models say.\n"
CHANGES = {
    "a column dropped from the database": (
        "auth_db",
        "ALTER TABLE users DROP COLUMN full_name",
        "column users.full_name is missing: character varying(255)",
    ),
    "a column added to the database": (
        "auth_db",
        "ALTER TABLE users ADD COLUMN nickname text",
        "column users.nickname is not in the model: text",
    ),
    "a changed length": (
        "auth_db",
        "ALTER TABLE users ALTER COLUMN email TYPE varchar(200)",
        "column users.email is character varying(200), the model says character varying(255)",
    ),
    "a changed precision": (
        "payment_db",
        "ALTER TABLE refunds ALTER COLUMN amount TYPE numeric(12, 2)",
        "column refunds.amount is numeric(12,2), the model says numeric(10,2)",
    ),
    "a changed default": (
        "payment_db",
        "ALTER TABLE refunds ALTER COLUMN status SET DEFAULT 'approved'",
        (
            "column refunds.status has default 'approved'::character varying, "
            "the model says default 'pending'::character varying"
        ),
    ),
    "a dropped default": (
        "content_db",
        "ALTER TABLE videos ALTER COLUMN is_active DROP DEFAULT",
        "column videos.is_active has no default, the model says default true",
    ),
    "a dropped NOT NULL": (
        "auth_db",
        "ALTER TABLE users ALTER COLUMN email DROP NOT NULL",
        "column users.email allows NULL, the model says it is NOT NULL",
    ),
    "a missing index": (
        "user_db",
        "DROP INDEX ix_user_profiles_user_id",
        "index user_profiles.ix_user_profiles_user_id is missing: USING btree (user_id)",
    ),
    "a missing spatial index": (
        "location_db",
        "DROP INDEX idx_user_addresses_location",
        "index user_addresses.idx_user_addresses_location is missing: USING gist (location)",
    ),
    "a missing CHECK": (
        "rating_db",
        "ALTER TABLE ratings DROP CONSTRAINT check_rating_score_range",
        "constraint ratings.check_rating_score_range is missing: CHECK (((rating_score >= 1) AND (rating_score <= 5)))",
    ),
    "an enum value too many": (
        "request_db",
        "ALTER TYPE servicetype ADD VALUE 'CHILDCARE'",
        "enum type servicetype has the value CHILDCARE, which is not in the model",
    ),
    "a missing unique constraint": (
        "auth_db",
        "ALTER TABLE users DROP CONSTRAINT users_email_key",
        "constraint users.users_email_key is missing: UNIQUE (email)",
    ),
    "a missing foreign key": (
        "payment_db",
        "ALTER TABLE refunds DROP CONSTRAINT refunds_payment_id_fkey",
        (
            "constraint refunds.refunds_payment_id_fkey is missing: "
            "FOREIGN KEY (payment_id) REFERENCES public.payments(payment_id)"
        ),
    ),
    "a table too many": (
        "location_db",
        "CREATE TABLE idx_mine (id integer PRIMARY KEY)",
        "table idx_mine is not in the model",
    ),
    "a missing table on SQLite": ("investment_db", "DROP TABLE investments", "table investments is missing"),
}


@pytest.mark.parametrize("name", NAMES)
def test_check_finds_nothing_in_a_freshly_upgraded_database(migrated: Project, name: str) -> None:
    result = migrated.done("-x", f"db={name}", "check")
    assert result.out == "No new upgrade operations detected.\n"
    assert not result.err


@pytest.mark.quick
def test_check_of_all_ten_is_quiet_when_nothing_differs(migrated: Project) -> None:
    result = migrated.done("check")
    assert result.out == "No new upgrade operations detected.\n"
    assert not result.err


@pytest.mark.parametrize("change", CHANGES)
def test_check_finds(migrated: Project, change: str) -> None:
    name, sql, sentence = CHANGES[change]
    migrated.rows(name, sql)
    result = migrated.alembic("-x", f"db={name}", "check")
    assert result.out.splitlines()[0] == name
    assert f"    {sentence}" in result.out.splitlines()
    assert result.found == f"error: {name}: not like the models, as the lines above say"


def test_check_finds_a_missing_enum_value(migrated: Project) -> None:
    for sql in (
        "ALTER TABLE user_profiles ALTER COLUMN default_mode DROP DEFAULT",
        "ALTER TYPE user_mode RENAME TO old",
        "CREATE TYPE user_mode AS ENUM ('NIN')",
        "ALTER TABLE user_profiles ALTER COLUMN default_mode TYPE user_mode USING default_mode::text::user_mode",
        "DROP TYPE old",
        "ALTER TABLE user_profiles ALTER COLUMN default_mode SET DEFAULT 'NIN'",
    ):
        migrated.rows("user_db", sql)
    assert migrated.alembic("check").out.splitlines() == [
        "user_db",
        "    enum type user_mode lacks the value LAH",
    ]


def test_check_prints_the_differences_of_each_database_under_its_name(migrated: Project) -> None:
    migrated.rows("auth_db", "ALTER TABLE users DROP COLUMN full_name")
    migrated.rows("investment_db", "ALTER TABLE investments DROP COLUMN partner")
    migrated.variables["user_db".upper() + "_URL"] = "postgresql://neighbor:s3cret@127.0.0.1:1/user_db"
    result = migrated.alembic("check")
    assert [line.split()[0] for line in result.out.splitlines() if not line.startswith(" ")] == [
        "auth_db",
        "user_db",
        "investment_db",
    ]
    assert result.error == "error: user_db: could not be compared, as the lines above say"


def test_check_refuses_a_database_that_is_not_at_head(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    result = migrated.alembic("check")
    assert "auth_db          FAILED: at auth_0001, not at its head auth_0002" in result.out
    assert "run `alembic upgrade auth_db@head` first" in result.out


def test_one_autogenerate_writes_one_revision_for_each_database_that_changed(migrated: Project) -> None:
    migrated.edit("models/auth.py", "    reset_token:", "    nickname: Mapped[str | None]\n    reset_token:")
    migrated.edit("models/investment.py", "String(100)", "String(120)")
    migrated.edit("models/user.py", 'LAH = "LAH"', 'MIX = "MIX"\n    LAH = "LAH"')
    result = migrated.done("revision", "--autogenerate", "-m", "Three at once")
    assert result.out.count("Generating") == 3
    assert "enum type user_mode lacks the value MIX" in result.out
    assert migrated.revisions("auth_db")[1:] == ["auth_0002_three_at_once.py"]
    assert migrated.revisions("user_db")[1:] == ["user_0002_three_at_once.py"]
    assert migrated.revisions("investment_db")[1:] == ["investment_0002_three_at_once.py"]
    assert sum(len(migrated.revisions(name)) for name in NAMES) == 13
    written = {name: _text(migrated, name) for name in ("auth_db", "user_db", "investment_db")}
    # Each is rendered for its own dialect.
    assert "batch_alter_table('investments'" in written["investment_db"]
    assert "batch" not in written["auth_db"] + written["user_db"]
    assert "ALTER TYPE user_mode ADD VALUE 'MIX' AFTER 'NIN'" in written["user_db"]
    assert "alembic_postgresql_enum" not in "".join(written.values())
    migrated.done("upgrade", "heads")
    migrated.done("check")
    migrated.done("downgrade", "auth_0001")
    migrated.done("downgrade", "user_0001")
    migrated.done("downgrade", "investment_0001")
    migrated.done("upgrade", "heads")
    migrated.done("check")


def test_autogenerate_says_when_there_is_nothing_to_write(migrated: Project) -> None:
    result = migrated.done("revision", "--autogenerate", "-m", "nothing")
    assert result.out == NOTHING
    assert sum(len(migrated.revisions(name)) for name in NAMES) == 10


def test_autogenerate_drops_neither_partitions_nor_what_is_ignored(migrated: Project) -> None:
    made = (
        "CREATE TABLE celery_tasks (id serial); ALTER TABLE users ADD celery_x int; "
        "CREATE INDEX celery_ix ON users (full_name); "
        "CREATE TABLE visits (id serial, CONSTRAINT visits_pkey PRIMARY KEY (id)) PARTITION BY RANGE (id); "
        "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (1) TO (2)"
    )
    migrated.add_revision("auth_db", 2, f'op.execute("{made}")', "op.execute('DROP TABLE celery_tasks, visits')")
    migrated.edit("databases.yaml", "models: models.auth", "models: models.auth, drift: {ignore: [celery_*]}")
    visits = (
        "\n\nclass Visit(Base):\n    __tablename__ = 'visits'\n    id: Mapped[int] = mapped_column(primary_key=True)\n"
    )
    partitioned = "    __table_args__ = {'postgresql_partition_by': 'RANGE (id)'}\n"
    migrated.write("models/auth.py", (migrated.root / "models/auth.py").read_text() + visits + partitioned)
    result = migrated.done("-x", "db=auth_db", "revision", "--autogenerate", "-m", "nothing")
    assert result.out == NOTHING


TEXTS = r'''

class Lower(TypeDecorator):
    impl = String
    cache_ok = True


class Coupon(Base):
    __tablename__ = "coupons"
    __table_args__ = (
        CheckConstraint("code <> '50%'", name="coupons_check"),
        CheckConstraint(r"code ~ '^(?\:a|b)\:c$'", name="coupons_like"),
        Index("ix_coupons_part", "price", postgresql_where=text(r"code <> '50%' AND code <> '\:x'")),
        Index("ix_coupons_rest", text("(price % 10)"), text("(code || ':x')")),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(Text, server_default=text("'50%'"))
    price: Mapped[int]
    rest: Mapped[int] = mapped_column(Computed("price % 10", persisted=True))
    lab: Mapped[str] = mapped_column(Text, Computed(r"code || '\:x'", persisted=True))
    doc: Mapped[dict] = mapped_column(JSONB, server_default=text(r"""'{"a"\:1}'::jsonb"""))
    quoted: Mapped[str] = mapped_column(String(20), server_default="it's")
    slashed: Mapped[str] = mapped_column(String(20), server_default="a\\b'c")
    lower: Mapped[str] = mapped_column(Lower(20))
'''
DOC = r"""'{\"a\"\\:1, \"b\": \"50%\"}'""".join(['"', '"'])
IMPORTS = (
    "from sqlalchemy import CheckConstraint, Computed, Index, Text, TypeDecorator, text\n"
    "from sqlalchemy.dialects.postgresql import JSONB\n"
)


def test_texts_and_types_of_the_models_own_are_written_as_create_all_makes_them(
    few: Project, postgres: Postgres
) -> None:
    few.variables |= postgres.scratch
    models = (few.root / "models/auth.py").read_text()
    few.write("models/auth.py", models.replace("from sqlalchemy", f"{IMPORTS}from sqlalchemy", 1) + TEXTS)
    few.edit("models/investment.py", "from sqlalchemy import ", "from sqlalchemy import JSON, text, ")
    column = f"    doc: Mapped[dict | None] = mapped_column(JSON, server_default=text({DOC}))\n"
    few.edit("models/investment.py", "    partner:", f"{column}    partner:")
    few.done("revision", "--autogenerate", "-m", "texts")
    assert "models" not in _text(few, "auth_db")
    few.done("upgrade", "heads")
    assert few.done("check").out == "No new upgrade operations detected.\n"
    assert few.rows(
        "auth_db", "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'coupons_check'"
    ) == [("CHECK ((code <> '50%'::text))",)]
    result = few.done("revision", "--autogenerate", "-m", "again")
    assert result.out == NOTHING
    few.done("downgrade", "auth_db@-1")
    few.done("upgrade", "heads")
    assert few.done("check").out == "No new upgrade operations detected.\n"


PARTED = """

class Visit(Base):
    __tablename__ = "visits"
    __table_args__ = {"postgresql_partition_by": "RANGE (day)"}
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
"""


def test_what_cannot_be_written_is_said_and_other_files_are_written(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    made = "CREATE TABLE visits (day int NOT NULL, CONSTRAINT visits_pkey PRIMARY KEY (day))"
    few.add_revision("auth_db", 2, f'op.execute("{made}")', "op.drop_table('visits')")
    few.write("models/auth.py", (few.root / "models/auth.py").read_text() + PARTED)
    few.edit("models/content.py", "    is_active:", "    seconds: Mapped[int | None]\n    is_active:")
    result = few.alembic("revision", "--autogenerate", "-m", "more")
    said = "table visits is partitioned by nothing, the model says RANGE (day)"
    assert [line.strip() for line in result.out.splitlines() if "visits" in line] == [
        said,
        f"upgrade() leaves: {said}",
    ]
    assert "auth_0003: written, not proved" in result.out.splitlines()
    assert "content_0002: upgrade makes what the models say, downgrade leads back" in result.out.splitlines()
    assert result.found == (
        "error: auth_db: written, not proved, as the lines above say: correct auth_0003_more.py by hand"
    )
    text = _text(few, "auth_db")
    assert text.splitlines()[:2] == ["# Not proved: correct this by hand.", f"# upgrade() leaves: {said}"]
    assert few.revisions("content_db")[1:] == ["content_0002_more.py"]


def test_autogenerate_of_spatial_columns_and_tables_goes_up_and_down(migrated: Project) -> None:
    polygon = 'Mapped[WKBElement | None] = mapped_column(Geography("POLYGON", srid=4326))'
    migrated.edit("models/location.py", "    city:", f"    area: {polygon}\n    city:")
    migrated.edit(
        "models/location.py",
        "class SavedLocation",
        'class Zone(Base):\n    __tablename__ = "zones"\n\n    zone_id: Mapped[int] = mapped_column(primary_key=True)\n'
        f"    shape: {polygon}\n\n\nclass SavedLocation",
    )
    migrated.done("revision", "--autogenerate", "-m", "zones")
    migrated.done("upgrade", "heads")
    migrated.done("check")
    indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = 'zones' AND indexdef LIKE '%gist%'"
    assert migrated.rows("location_db", indexes) == [(1,)]
    migrated.done("downgrade", "location_db@-1")
    assert migrated.rows("location_db", "SELECT to_regclass('zones')") == [(None,)]
    migrated.done("upgrade", "heads")


def test_autogenerate_of_an_enum_type_goes_up_and_down(migrated: Project) -> None:
    migrated.edit(
        "models/request.py",
        "class PaymentStatus",
        "class Mood(PythonEnum):\n    GOOD = auto()\n\n\nclass PaymentStatus",
    )
    migrated.edit(
        "models/request.py",
        "    title:",
        '    mood: Mapped[Mood | None] = mapped_column(Enum(Mood, name="mood"))\n    title:',
    )
    migrated.edit("models/request.py", "    PAID = auto()\n", "")
    migrated.done("revision", "--autogenerate", "-m", "mood")
    migrated.done("upgrade", "heads")
    migrated.done("check")
    migrated.done("downgrade", "request_db@-1")
    enums = "SELECT typname FROM pg_type WHERE typtype = 'e' ORDER BY 1"
    assert migrated.rows("request_db", enums) == [
        ("assignmentstatus",),
        ("paymentstatus",),
        ("servicerequeststatus",),
        ("servicetype",),
    ]
    labels = "SELECT enumlabel FROM pg_enum WHERE enumtypid = 'paymentstatus'::regtype ORDER BY enumsortorder"
    assert migrated.rows("request_db", labels) == [("UNPAID",), ("PAID",), ("PAYMENT_FAILED",)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('NIN = "NIN"', 'AAA = "AAA"\n    NIN = "NIN"', ["AAA", "NIN", "LAH"]),
        ('LAH = "LAH"', 'LAH = "LAH"\n    ZZZ = "it\'s"', ["NIN", "LAH", "ZZZ"]),
        ('LAH = "LAH"', 'X = "X"\n    Y = "Y"\n    LAH = "LAH"\n    Z = "Z"', ["NIN", "X", "Y", "LAH", "Z"]),
    ],
)
def test_a_new_enum_value_takes_its_place_among_the_others(
    migrated: Project, before: str, after: str, expected: list[str]
) -> None:
    migrated.edit("models/user.py", before, after)
    migrated.done("revision", "--autogenerate", "-m", "value")
    migrated.done("upgrade", "heads")
    labels = migrated.rows("user_db", "SELECT enumlabel FROM pg_enum ORDER BY enumsortorder")
    assert [label for (label,) in labels] == expected
    migrated.done("check")


def test_a_failed_comparison_leaves_no_file_behind(migrated: Project) -> None:
    migrated.edit("models/auth.py", "    reset_token:", "    nickname: Mapped[str | None]\n    reset_token:")
    migrated.edit("models/rating.py", "import uuid", "import uuid, nowhere")
    error = migrated.alembic("revision", "--autogenerate", "-m", "half").error
    assert error == "error: rating_db: models.rating can't be imported: No module named 'nowhere'"
    assert sum(len(migrated.revisions(name)) for name in NAMES) == 10


def test_a_revision_that_cannot_be_written_takes_the_others_with_it(migrated: Project) -> None:
    for module in ("auth", "payment"):
        migrated.edit(f"models/{module}.py", "String(255)", "String(256)")
    migrated.edit("migrations/script.py.mako", "${create_date}", "${1 // ('payment' not in up_revision)}")
    migrated.alembic("revision", "--autogenerate", "-m", "half")
    assert sum(len(migrated.revisions(name)) for name in NAMES) == 10


def test_autogenerate_refuses_one_id_for_several_revisions(migrated: Project) -> None:
    for module in ("auth", "payment"):
        migrated.edit(f"models/{module}.py", "String(255)", "String(256)")
    error = migrated.alembic("revision", "--autogenerate", "--rev-id", "auth_0002", "-m", "x").error
    assert "auth_0002" in error
    assert sum(len(migrated.revisions(name)) for name in NAMES) == 10
    migrated.done("-x", "db=auth_db", "revision", "--autogenerate", "--rev-id", "auth_0007", "-m", "x")
    assert migrated.revisions("auth_db")[1:] == ["auth_0007_x.py"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["revision", "-m", "An empty one", "--head", "auth_db@head"],
        ["-x", "db=auth_db", "revision", "-m", "An empty one"],
    ],
)
def test_an_empty_revision_is_the_next_of_its_branch_and_needs_no_server(
    checkout: Project, arguments: list[str]
) -> None:
    checkout.done(*arguments)
    assert checkout.revisions("auth_db")[1:] == ["auth_0002_an_empty_one.py"]
    text = _text(checkout, "auth_db")
    assert "revision = 'auth_0002'" in text
    assert "down_revision = 'auth_0001'" in text
    assert "auth_0002 (auth_db) (head)" in checkout.done("heads").out


@pytest.mark.parametrize("command", ["revision -m x", "merge heads"])
def test_a_new_file_without_a_database_is_refused_with_the_ten_names(checkout: Project, command: str) -> None:
    error = checkout.alembic(*command.split()).error
    for name in NAMES:
        assert name in error
    assert sum(len(checkout.revisions(name)) for name in NAMES) == 10


@pytest.mark.parametrize("heads", [["auth_db@heads"], ["auth_0002", "auth_0003"]])
def test_merge_joins_two_heads_of_one_branch(migrated: Project, heads: list[str]) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    migrated.add_revision("auth_db", 3, "pass", down="auth_0001")
    migrated.done("merge", *heads, "-m", "both")
    assert migrated.revisions("auth_db")[-1] == "auth_0004_both.py"
    assert re.search(r"down_revision = \('auth_000[23]', 'auth_000[23]'\)", _text(migrated, "auth_db"))
    migrated.done("upgrade", "heads")
    assert migrated.versions()["auth_db"] == ["auth_0004"]


def test_merge_without_a_message_says_what_it_merges(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    migrated.add_revision("auth_db", 3, "pass", down="auth_0001")
    migrated.done("-x", "db=auth_db", "merge", "heads")
    assert migrated.revisions("auth_db")[-1] == "auth_0004_merge_auth_0002_and_auth_0003.py"


@pytest.mark.parametrize("revisions", [["auth_0001", "user_0001"], ["auth_db@head", "user_db@head"]])
def test_merge_of_two_databases_is_refused(checkout: Project, revisions: list[str]) -> None:
    error = checkout.alembic("merge", *revisions).error
    assert error.startswith("error: auth_db, user_db: revisions of different databases can't be merged")
    assert sum(len(checkout.revisions(name)) for name in NAMES) == 10


def test_merge_of_one_head_is_refused(checkout: Project) -> None:
    assert "nothing to merge" in checkout.alembic("merge", "auth_db@heads").error


def test_the_first_autogenerate_of_an_empty_folder_makes_its_first_revision(migrated: Project, spare: str) -> None:
    migrated.edit("databases.yaml", "  investment_db:", "  pet_db: {models: models.pet}\n  investment_db:")
    migrated.write("models/pet.py", (migrated.root / "models/investment.py").read_text().replace("nvestment", "mal"))
    migrated.variables["PET_DB_URL"] = migrated.variables["AUTH_DB_URL"].rpartition("/")[0] + f"/{spare}"
    (migrated.root / "migrations/versions/pet_db").mkdir()
    migrated.done("upgrade", "heads")
    migrated.done("revision", "--autogenerate", "-m", "Pets")
    assert migrated.revisions("pet_db") == ["pet_0001_pets.py"]
    assert "branch_labels = ('pet_db',)" in _text(migrated, "pet_db")
    migrated.done("upgrade", "pet_db@head")
    migrated.done("check")


def test_postgis_tables_and_alembic_version_are_no_difference(migrated: Project) -> None:
    assert migrated.rows("location_db", "SELECT to_regclass('spatial_ref_sys')") == [("spatial_ref_sys",)]
    migrated.done("-x", "db=location_db", "check")
    assert set(ON_POSTGRESQL) == {name for name in ON_POSTGRESQL if migrated.has_version_table(name)}


def _text(project: Project, name: str) -> str:
    return (project.root / "migrations/versions" / name / project.revisions(name)[-1]).read_text()
