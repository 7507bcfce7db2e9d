"""What may have been done to a live database that is not quite its revision, and what `adopt` says of it."""

from collections.abc import Sequence
from typing import NamedTuple

NIN_TEXT = "default 'NIN'::text"


class Changed(NamedTuple):
    """A change to a live database, and the differences that `adopt` reports."""

    database: str
    sql: str
    differences: Sequence[tuple[str, str]]
    risky: Sequence[str] = ()
    """What names those that are risky."""


CHANGES = {
    "a column is missing": Changed(
        "auth_db",
        "ALTER TABLE users DROP COLUMN full_name",
        [("risky", "column users.full_name is missing: character varying(255)")],
        ["users.full_name"],
    ),
    "a column is renamed": Changed(
        "auth_db",
        "ALTER TABLE users RENAME full_name TO name",
        [("risky", "column users.name looks like a rename of full_name (same position and definition)")],
        ["users.full_name.name"],
    ),
    "a column with a key is renamed": Changed(
        "auth_db",
        "ALTER TABLE users RENAME email TO mail",
        [("risky", "column users.mail looks like a rename of email (same position and definition)")],
        ["users.email.name"],
    ),
    "a column is widened": Changed(
        "auth_db",
        "ALTER TABLE users ALTER full_name TYPE varchar(500)",
        [("risky", "column users.full_name is character varying(500), auth_0001 says character varying(255)")],
        ["users.full_name.type"],
    ),
    "a column is narrowed": Changed(
        "auth_db",
        "ALTER TABLE users ALTER full_name TYPE varchar(100)",
        [("risky", "column users.full_name is character varying(100), auth_0001 says character varying(255)")],
        ["users.full_name.type"],
    ),
    "a column is of another type": Changed(
        "auth_db",
        "ALTER TABLE users ALTER user_id TYPE varchar(36)",
        [("risky", "column users.user_id is character varying(36), auth_0001 says uuid")],
        ["users.user_id.type"],
    ),
    "a column with a default is of another type": Changed(
        "user_db",
        "ALTER TABLE user_profiles ALTER default_mode DROP DEFAULT, ALTER default_mode TYPE text, "
        "ALTER default_mode SET DEFAULT 'NIN'",
        [
            ("risky", "column user_profiles.default_mode is text, user_0001 says public.user_mode"),
            (
                "risky",
                f"column user_profiles.default_mode has {NIN_TEXT}, user_0001 says default 'NIN'::public.user_mode",
            ),
        ],
        ["user_profiles.default_mode.type", "user_profiles.default_mode.default"],
    ),
    "a column allows NULL": Changed(
        "auth_db",
        "ALTER TABLE users ALTER password_hash DROP NOT NULL",
        [("risky", "column users.password_hash allows NULL, auth_0001 says it is NOT NULL")],
        ["users.password_hash.null"],
    ),
    "a column does not allow NULL": Changed(
        "auth_db",
        "ALTER TABLE users ALTER full_name SET NOT NULL",
        [("risky", "column users.full_name is NOT NULL, auth_0001 says it allows NULL")],
        ["users.full_name.null"],
    ),
    "a default is another": Changed(
        "content_db",
        "ALTER TABLE videos ALTER is_active SET DEFAULT false",
        [("risky", "column videos.is_active has default false, content_0001 says default true")],
        ["videos.is_active.default"],
    ),
    "a default is extra": Changed(
        "content_db",
        "ALTER TABLE videos ALTER created_at SET DEFAULT now()",
        [("extra", "column videos.created_at has default now(), content_0001 says no default")],
    ),
    "an enum has a value more": Changed(
        "user_db",
        "ALTER TYPE user_mode ADD VALUE 'BOTH'",
        [("extra", "enum type user_mode has the value BOTH, which is not in user_0001")],
    ),
    "an enum has a value less": Changed(
        "user_db",
        "ALTER TABLE user_profiles ALTER default_mode DROP DEFAULT; UPDATE user_profiles SET default_mode = 'NIN'; "
        "ALTER TYPE user_mode RENAME TO was; CREATE TYPE user_mode AS ENUM ('NIN'); "
        "ALTER TABLE user_profiles ALTER default_mode TYPE user_mode USING default_mode::text::user_mode; "
        "DROP TYPE was; ALTER TABLE user_profiles ALTER default_mode SET DEFAULT 'NIN'",
        [("harmless", "enum type user_mode lacks the value LAH")],
    ),
    "an enum has another order": Changed(
        "user_db",
        "ALTER TABLE user_profiles ALTER default_mode DROP DEFAULT; ALTER TYPE user_mode RENAME TO was; "
        "CREATE TYPE user_mode AS ENUM ('LAH', 'NIN'); "
        "ALTER TABLE user_profiles ALTER default_mode TYPE user_mode USING default_mode::text::user_mode; "
        "DROP TYPE was; ALTER TABLE user_profiles ALTER default_mode SET DEFAULT 'NIN'",
        [("risky", "enum type user_mode has the order LAH, NIN, user_0001 says NIN, LAH")],
        ["user_mode.order"],
    ),
    "constraints have other names": Changed(
        "auth_db",
        "ALTER TABLE users RENAME CONSTRAINT users_pkey TO pk_users; "
        "ALTER TABLE users RENAME CONSTRAINT users_email_key TO uq_users_email",
        [
            ("harmless", "constraint users.pk_users is called users_pkey in auth_0001"),
            ("harmless", "constraint users.uq_users_email is called users_email_key in auth_0001"),
        ],
    ),
    "an index has another name": Changed(
        "user_db",
        "ALTER INDEX ix_user_profiles_user_id RENAME TO by_user",
        [("harmless", "index user_profiles.by_user is called ix_user_profiles_user_id in user_0001")],
    ),
    "an index is missing": Changed(
        "user_db",
        "DROP INDEX ix_user_profiles_user_id",
        [("harmless", "index user_profiles.ix_user_profiles_user_id is missing: USING btree (user_id)")],
    ),
    "a unique constraint is missing": Changed(
        "auth_db",
        "ALTER TABLE users DROP CONSTRAINT users_email_key",
        [("risky", "constraint users.users_email_key is missing: UNIQUE (email)")],
        ["users.users_email_key"],
    ),
    "a primary key is missing": Changed(
        "auth_db",
        "ALTER TABLE users DROP CONSTRAINT users_pkey",
        [("risky", "constraint users.users_pkey is missing: PRIMARY KEY (user_id)")],
        ["users.users_pkey"],
    ),
    "an index is extra": Changed(
        "auth_db",
        "CREATE INDEX by_name ON users (lower(full_name)) WHERE is_active",
        [("extra", "index users.by_name is not in auth_0001: USING btree (lower((full_name)::text)) WHERE is_active")],
    ),
    "a column is extra": Changed(
        "auth_db",
        "ALTER TABLE users ADD nickname text",
        [("extra", "column users.nickname is not in auth_0001: text")],
    ),
    "a table is extra": Changed(
        "auth_db",
        "CREATE TABLE audit_log (id serial PRIMARY KEY, what text)",
        [("extra", "table audit_log is not in auth_0001")],
    ),
    "a view is extra": Changed(
        "auth_db",
        "CREATE VIEW active_users AS SELECT user_id FROM users WHERE is_active",
        [("extra", "view active_users is not in auth_0001")],
    ),
    "a trigger is extra": Changed(
        "auth_db",
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
        "CREATE TRIGGER note BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION noted()",
        [("extra", "trigger users.note is not in auth_0001"), ("extra", "function noted() is not in auth_0001")],
    ),
    "a grant is extra": Changed(
        "auth_db",
        "GRANT SELECT ON users TO PUBLIC",
        [("extra", "PUBLIC has SELECT on users; auth_0001 does not grant it")],
    ),
    "a table is in another schema": Changed(
        "auth_db",
        "CREATE SCHEMA archive; CREATE TABLE archive.users (LIKE users INCLUDING ALL)",
        [("extra", "schema archive is not in auth_0001")],
    ),
    "the table itself is in another schema": Changed(
        "auth_db",
        "CREATE SCHEMA archive; ALTER TABLE users SET SCHEMA archive",
        [("risky", "table users is missing"), ("extra", "schema archive is not in auth_0001")],
        ["users"],
    ),
    "an old migration died half-way": Changed(
        "content_db",
        "DROP TABLE system_settings; ALTER TABLE videos DROP COLUMN expiry_date",
        [("risky", "table system_settings is missing"), ("risky", "column videos.expiry_date is missing: date")],
        ["system_settings", "videos.expiry_date"],
    ),
    "an SQLite column is missing": Changed(
        "investment_db",
        "ALTER TABLE investments DROP COLUMN partner",
        [("risky", "column investments.partner is missing: VARCHAR(255)")],
        ["investments.partner"],
    ),
    "an SQLite column is renamed": Changed(
        "investment_db",
        "ALTER TABLE investments RENAME partner TO company",
        [("risky", "column investments.company looks like a rename of partner (same position and definition)")],
        ["investments.partner.name"],
    ),
    "an SQLite column is extra, and an index": Changed(
        "investment_db",
        "ALTER TABLE investments ADD note TEXT; CREATE INDEX by_title ON investments (title)",
        [
            ("extra", "index investments.by_title is not in investment_0001: investments (title)"),
            ("extra", "column investments.note is not in investment_0001: TEXT"),
        ],
    ),
    "an SQLite table was made otherwise, and has things of its own": Changed(
        "investment_db",
        "ALTER TABLE investments RENAME TO was; CREATE TABLE investments (investment_id VARCHAR(36), title VARCHAR(99) "
        "NOT NULL, summary TEXT NOT NULL, impact TEXT NOT NULL, expected_return VARCHAR(255) NOT NULL, min_amount "
        "INTEGER NOT NULL, partner VARCHAR(255), cover_key VARCHAR(100), note TEXT DEFAULT 'none' NOT NULL); "
        "INSERT INTO investments SELECT *, 'noted' FROM was; DROP TABLE was; "
        "CREATE INDEX by_title ON investments (title)",
        [
            ("risky", "constraint investments.PRIMARY KEY (investment_id) is missing"),
            ("risky", "column investments.investment_id allows NULL, investment_0001 says it is NOT NULL"),
            ("risky", "column investments.title is VARCHAR(99), investment_0001 says VARCHAR(255)"),
            ("extra", "index investments.by_title is not in investment_0001: investments (title)"),
            ("extra", "column investments.note is not in investment_0001: TEXT NOT NULL"),
        ],
        ["investments.PRIMARY KEY (investment_id)", "investments.investment_id.null", "investments.title.type"],
    ),
}
