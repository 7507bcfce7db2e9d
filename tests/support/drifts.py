"""A branch with one of everything, what somebody may do to its database, and the sentences that say so."""

RICH = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE SEQUENCE tickets START 100 INCREMENT 5;
CREATE SCHEMA reports;
CREATE TABLE owners (owner_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL);
CREATE TABLE pets (
    pet_id serial PRIMARY KEY,
    owner_id integer NOT NULL REFERENCES owners ON DELETE CASCADE,
    name varchar(50) NOT NULL DEFAULT 'Rex',
    "Weird name" numeric(6, 2),
    born_in integer REFERENCES owners DEFERRABLE,
    weight integer CONSTRAINT weighs_something CHECK (weight > 0),
    doubled integer GENERATED ALWAYS AS (weight * 2) STORED,
    feels mood DEFAULT 'ok',
    born date,
    CONSTRAINT one_name_each UNIQUE (owner_id, name),
    CONSTRAINT not_at_once EXCLUDE USING btree (born WITH =)
);
CREATE INDEX by_lower_name ON pets (lower(name) DESC) WHERE weight > 10;
CREATE UNIQUE INDEX one_weird ON pets ("Weird name");
CREATE VIEW heavy AS SELECT pet_id, name FROM pets WHERE weight > 100;
CREATE MATERIALIZED VIEW digits AS SELECT pet_id % 10 AS digit, count(*) FROM pets GROUP BY 1;
CREATE FUNCTION grown(pet integer) RETURNS integer LANGUAGE sql STABLE AS 'SELECT weight FROM pets WHERE pet_id = pet';
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON pets FOR EACH ROW EXECUTE FUNCTION touched();
CREATE PROCEDURE tidied() LANGUAGE sql AS 'DELETE FROM pets WHERE weight IS NULL';
CREATE UNLOGGED TABLE cache (key text, "odd.name" text);
CREATE TABLE beings (name text);
CREATE TABLE cats (claws integer) INHERITS (beings);
CREATE TABLE reports (x integer);
CREATE VIEW light WITH (security_barrier = true) AS SELECT pet_id FROM pets WHERE weight < 5 WITH LOCAL CHECK OPTION;
CREATE TABLE reports.daily (day date PRIMARY KEY, number integer);
CREATE TABLE visits (at date NOT NULL, pet integer) PARTITION BY RANGE (at);
CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
COMMENT ON TABLE pets IS 'the animals';
COMMENT ON COLUMN pets.name IS 'what it hears';
COMMENT ON CONSTRAINT weighs_something ON pets IS 'or it is a ghost';
COMMENT ON PROCEDURE tidied() IS 'at night';
GRANT EXECUTE ON PROCEDURE tidied() TO reporting;
GRANT SELECT, UPDATE (name) ON pets TO reporting;
"""
FK = "CONSTRAINT pets_owner_id_fkey"
ANEW = f"ALTER TABLE pets DROP {FK}, ADD {FK} FOREIGN KEY (owner_id)"
BARRIER = "['check_option=local', 'security_barrier={}']"
TO_OWNERS = "FOREIGN KEY (owner_id) REFERENCES public.owners(owner_id)"
OPTIONS = "START 1, INCREMENT {}, MINVALUE 1, MAXVALUE 2147483647, CACHE 1, NO CYCLE"
LOWER = "USING btree (lower((name)::text) DESC)"
# What somebody did to it, and the sentences that say so.
DRIFTS: dict[str, dict[str, list[str]]] = {
    "a table is gone, with the views of it": {
        "DROP TABLE pets CASCADE": [
            "table pets is missing",
            "view digits is missing",
            "view light is missing",
            "view heavy is missing",
        ],
    },
    "tables and schemas": {
        "DROP TABLE visits": ["table visits is missing"],
        "CREATE TABLE reports.weekly (week date)": ["table reports.weekly is not in auth_0002"],
        "CREATE SCHEMA other; CREATE TABLE other.thing (x int)": ["schema other is not in auth_0002"],
        "ALTER TABLE pets OWNER TO postgres": ["table pets is owned by postgres, auth_0002 says by the owner"],
    },
    "a schema is gone": {
        "DROP SCHEMA reports CASCADE": ["schema reports is missing"],
    },
    "columns": {
        "ALTER TABLE pets DROP COLUMN born": [
            "column pets.born is missing: date",
            "constraint pets.not_at_once is missing: EXCLUDE USING btree (born WITH =)",
        ],
        "ALTER TABLE pets ADD colour text NOT NULL DEFAULT 'red'": [
            "column pets.colour is not in auth_0002: text NOT NULL"
        ],
        'ALTER TABLE pets ALTER "Weird name" TYPE numeric': [
            "column pets.Weird name is numeric, auth_0002 says numeric(6,2)"
        ],
        "ALTER TABLE pets ALTER name DROP NOT NULL": ["column pets.name allows NULL, auth_0002 says it is NOT NULL"],
        'ALTER TABLE owners ALTER name TYPE text COLLATE "POSIX"': [
            "column owners.name has collation POSIX, auth_0002 says collation C"
        ],
        "ALTER TABLE owners ALTER owner_id DROP IDENTITY": [
            "column owners.owner_id has no identity, auth_0002 says identity ALWAYS"
        ],
        "ALTER TABLE pets ALTER doubled DROP EXPRESSION": [
            "column pets.doubled has no expression, auth_0002 says expression (weight * 2)"
        ],
    },
    "a column has another name": {
        "ALTER TABLE pets RENAME born TO birthday": [
            "column pets.birthday is at the place of born, which is missing, and like it: renamed?"
        ],
        "ALTER TABLE owners ALTER owner_id SET GENERATED BY DEFAULT": [
            "column owners.owner_id has identity BY DEFAULT, auth_0002 says identity ALWAYS"
        ],
    },
    "defaults": {
        "ALTER TABLE pets ALTER name SET DEFAULT 'Kitty'": [
            "column pets.name has default 'Kitty'::character varying, auth_0002 says default 'Rex'::character varying"
        ],
        "ALTER TABLE pets ALTER born SET DEFAULT now()": [
            "column pets.born has default now(), auth_0002 says no default"
        ],
        "ALTER TABLE pets ALTER feels DROP DEFAULT": [
            "column pets.feels has no default, auth_0002 says default 'ok'::public.mood"
        ],
    },
    "constraints": {
        "ALTER TABLE pets DROP CONSTRAINT weighs_something, ADD CONSTRAINT weighs_something CHECK (weight > 1)": [
            "constraint pets.weighs_something is CHECK ((weight > 1)), auth_0002 says CHECK ((weight > 0))",
            "comment on pets.weighs_something is missing: or it is a ghost",
        ],
        f"{ANEW} REFERENCES owners": [
            f"constraint pets.pets_owner_id_fkey is {TO_OWNERS}, auth_0002 says {TO_OWNERS} ON DELETE CASCADE"
        ],
        "ALTER TABLE pets DROP CONSTRAINT one_name_each, ADD CONSTRAINT one_name_each UNIQUE (name, owner_id)": [
            "constraint pets.one_name_each is UNIQUE (name, owner_id), auth_0002 says UNIQUE (owner_id, name)"
        ],
        "ALTER TABLE pets ADD CHECK (born > '2000-01-01')": [
            "constraint pets.pets_born_check is not in auth_0002: CHECK ((born > '2000-01-01'::date))"
        ],
    },
    "keys": {
        "ALTER TABLE pets DROP CONSTRAINT pets_pkey": ["constraint pets.pets_pkey is missing: PRIMARY KEY (pet_id)"],
        f"{ANEW} REFERENCES owners ON DELETE CASCADE NOT VALID": [
            "constraint pets.pets_owner_id_fkey is not valid, auth_0002 says it is valid"
        ],
    },
    "names": {
        "ALTER TABLE pets RENAME CONSTRAINT pets_pkey TO pk_pets": [
            "constraint pets.pk_pets is called pets_pkey in auth_0002"
        ],
        'ALTER INDEX one_weird RENAME TO "Only one"': ["index pets.Only one is called one_weird in auth_0002"],
    },
    "indexes": {
        "DROP INDEX by_lower_name; CREATE INDEX by_lower_name ON pets (lower(name) DESC) WHERE weight > 11": [
            f"index pets.by_lower_name is {LOWER} WHERE (weight > 11), auth_0002 says {LOWER} WHERE (weight > 10)"
        ],
        'DROP INDEX one_weird; CREATE INDEX one_weird ON pets ("Weird name")': [
            "index pets.one_weird is not unique, auth_0002 says it is unique"
        ],
        "CREATE INDEX idx_pets ON pets USING hash (born)": [
            "index pets.idx_pets is not in auth_0002: USING hash (born)"
        ],
    },
    "tables, further": {
        "ALTER TABLE cache SET LOGGED": ["table cache has unlogged False, auth_0002 says True"],
        "ALTER TABLE cats NO INHERIT beings": ["table cats has inherits [], auth_0002 says ['public.beings']"],
        "ALTER TABLE pets DISABLE TRIGGER ALL": [
            "table pets has foreign keys enforced False, auth_0002 says True",
            "trigger pets.touch is disabled, auth_0002 says enabled",
        ],
        "ALTER TABLE owners ALTER owner_id SET INCREMENT 5": [
            f"column owners.owner_id has identity options {OPTIONS.format(5)}, auth_0002 says {OPTIONS.format(1)}"
        ],
    },
    "a schema and a table of one name, and what is odd": {
        "REVOKE ALL ON SCHEMA reports FROM neighbor": ["the owner lacks CREATE and USAGE on reports"],
        'CREATE TABLE "reports.daily" (x integer)': ['table "reports.daily" is not in auth_0002'],
        "ALTER TABLE pets ADD x integer; GRANT SELECT (x) ON pets TO reporting; ALTER TABLE pets DROP x": [],
        "ALTER VIEW light SET (security_barrier = false)": [
            f"view light has options {BARRIER.format(False)}, auth_0002 says {BARRIER.format(True)}".lower()
        ],
    },
    "procedures": {
        "DROP PROCEDURE tidied()": ["function tidied() is missing"],
        "CREATE PROCEDURE more() LANGUAGE sql AS 'SELECT 1'; COMMENT ON PROCEDURE more() IS 'x'": [
            "function more() is not in auth_0002"
        ],
    },
    "what depends on another thing": {
        "DROP TABLE owners CASCADE; CREATE VIEW a AS SELECT 1 AS x; CREATE VIEW b AS SELECT x FROM a": [
            "table owners is missing",
            f"constraint pets.pets_owner_id_fkey is missing: {TO_OWNERS} ON DELETE CASCADE",
            f"constraint pets.pets_born_in_fkey is missing: {TO_OWNERS.replace('owner_id', 'born_in', 1)} DEFERRABLE",
            "view a is not in auth_0002",
            "view b is not in auth_0002",
        ],
    },
    "an index is gone": {
        "DROP INDEX by_lower_name": [
            "index pets.by_lower_name is missing: USING btree (lower((name)::text) DESC) WHERE (weight > 10)"
        ],
    },
    "an enum has a value more": {
        "ALTER TYPE mood ADD VALUE 'glad' BEFORE 'happy'": [
            "enum type mood has the value glad, which is not in auth_0002"
        ],
    },
    "an enum has another value": {
        "ALTER TYPE mood RENAME VALUE 'sad' TO 'low'": [
            "enum type mood lacks sad",
            "enum type mood has the value low, which is not in auth_0002",
        ],
    },
    "sequences and extensions": {
        "DROP SEQUENCE tickets": ["sequence tickets is missing"],
        "CREATE SEQUENCE more": ["sequence more is not in auth_0002"],
        "CREATE EXTENSION pg_trgm": ["extension pg_trgm is not in auth_0002"],
    },
    "a sequence is another": {
        "ALTER SEQUENCE tickets INCREMENT 7": ["sequence tickets has increment 7, auth_0002 says 5"],
    },
    "views, functions and triggers are gone": {
        "DROP VIEW heavy": ["view heavy is missing"],
        "DROP MATERIALIZED VIEW digits": ["view digits is missing"],
        "DROP FUNCTION grown": ["function grown(pet integer) is missing"],
        "DROP TRIGGER touch ON pets": ["trigger pets.touch is missing"],
    },
    "views, functions and triggers are others": {
        "CREATE OR REPLACE VIEW heavy AS SELECT pet_id, name FROM pets WHERE weight > 99": [
            "view heavy has another definition than in auth_0002"
        ],
        "CREATE OR REPLACE FUNCTION grown(pet integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'": [
            "function grown(pet integer) has another definition than in auth_0002"
        ],
        "ALTER TABLE pets DISABLE TRIGGER touch": ["trigger pets.touch is disabled, auth_0002 says enabled"],
    },
    "comments": {
        "COMMENT ON TABLE pets IS 'beasts'": ["comment on pets is beasts, auth_0002 says the animals"],
        "COMMENT ON COLUMN pets.name IS NULL": ["comment on pets.name is missing: what it hears"],
        "COMMENT ON COLUMN pets.weight IS 'kg'": ["comment on pets.weight is not in auth_0002: kg"],
    },
    "privileges are gone": {
        "REVOKE SELECT ON pets FROM reporting": ["reporting lacks SELECT on pets"],
        "REVOKE INSERT, DELETE ON pets FROM neighbor": ["the owner lacks DELETE and INSERT on pets"],
        "REVOKE ALL ON SCHEMA public FROM PUBLIC": ["everybody lacks USAGE on public"],
    },
    "a privilege may be handed on": {
        "GRANT SELECT ON pets TO reporting WITH GRANT OPTION": [
            "reporting has SELECT WITH GRANT OPTION on pets, and not in auth_0002"
        ],
    },
}
