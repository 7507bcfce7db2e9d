"""The state of a server behind an SQLSTATE that has several causes: who owns an object, why a session is read-only.

The session of the error is in a failed transaction, so another one asks, with the same parameters. What it can't find
out, or not in time, is left to the advice that fits every cause.
"""

import re
from typing import Any

import psycopg2

_TIMEOUT = 3  # seconds to connect, and for a statement
_MOST = 3  # objects that a message names

_WORD = re.compile(r'"((?:[^"]|"")+)"|(\w+)')
_VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|TRUNCATE)\b", re.IGNORECASE)
# What the statement names and another role owns; `pg_has_role` is true for superusers.
_FOREIGN = """
    WITH named (kind, name, owner) AS (
        SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                              WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'i' THEN 'INDEX' ELSE 'TABLE' END,
               c.oid::regclass::text, c.relowner
        FROM pg_class c WHERE c.relname = ANY (%(words)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
          AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
        UNION ALL
        SELECT 'TABLE', t.oid::regclass::text, t.relowner
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
        WHERE c.relname = ANY (%(words)s)
        UNION ALL
        SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, t.oid::regtype::text, t.typowner
        FROM pg_type t WHERE t.typname = ANY (%(words)s) AND t.typtype IN ('e', 'd', 'r')
          AND t.typnamespace <> 'pg_catalog'::regnamespace
        UNION ALL
        SELECT 'ROUTINE', p.oid::regprocedure::text, p.proowner
        FROM pg_proc p WHERE p.proname = ANY (%(words)s) AND p.pronamespace <> 'pg_catalog'::regnamespace
        UNION ALL
        SELECT 'SCHEMA', quote_ident(n.nspname), n.nspowner FROM pg_namespace n WHERE n.nspname = ANY (%(words)s)
          AND NOT (has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE'))
        UNION ALL
        SELECT 'EXTENSION', quote_ident(e.extname), e.extowner FROM pg_extension e WHERE e.extname = ANY (%(words)s)
    )
    SELECT DISTINCT kind, name, pg_get_userbyid(owner)::text, quote_ident(current_user) FROM named
    WHERE NOT pg_has_role(owner, 'USAGE') ORDER BY 2
"""
_UNREADABLE = """
    SELECT c.oid::regclass::text, pg_get_userbyid(c.relowner)::text, quote_ident(current_user) FROM pg_class c
    WHERE c.relname = ANY (%(words)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND EXISTS (
        SELECT FROM unnest(%(privileges)s::text[]) wanted WHERE NOT has_table_privilege(c.oid, wanted)
    ) ORDER BY 1
"""
# The schema where unqualified names are created; of the role pg_database_owner, the owner of the database is a member.
_SCHEMA = """
    SELECT quote_ident(n.nspname), n.nspowner = to_regrole('pg_database_owner'), pg_get_userbyid(n.nspowner)::text,
           pg_get_userbyid(d.datdba)::text, quote_ident(d.datname), quote_ident(current_user),
           has_schema_privilege(n.oid, 'CREATE'), has_database_privilege(d.oid, 'CREATE')
    FROM pg_database d LEFT JOIN pg_namespace n ON n.nspname = current_schema()
    WHERE d.datname = current_database()
"""
_READ_ONLY = """
    SELECT pg_is_in_recovery(), setting::boolean, source, quote_ident(current_database()), quote_ident(current_user)
    FROM pg_settings WHERE name = 'default_transaction_read_only'
"""
_RESETS = {
    "database": "ALTER DATABASE {database} RESET default_transaction_read_only",
    "user": "ALTER ROLE {role} RESET default_transaction_read_only",
    "database user": "ALTER ROLE {role} IN DATABASE {database} RESET default_transaction_read_only",
    "client": "take it out of the URL or PGOPTIONS",
}
# What other sessions see of the names in a statement that creates something.
_THERE = """
    SELECT 1 FROM pg_class WHERE relname = ANY (%(words)s) AND relnamespace <> 'pg_catalog'::regnamespace
    UNION ALL SELECT 1 FROM pg_type WHERE typname = ANY (%(words)s) AND typtype IN ('e', 'd', 'r')
    UNION ALL SELECT 1 FROM pg_namespace WHERE nspname = ANY (%(words)s)
    UNION ALL SELECT 1 FROM pg_proc WHERE proname = ANY (%(words)s) AND pronamespace <> 'pg_catalog'::regnamespace
    UNION ALL SELECT 1 FROM pg_constraint WHERE conname = ANY (%(words)s)
"""
# Functions of triggers that are likely to send the notification: the source says so, whatever its language.
_NOTIFYING = """
    SELECT format('the event trigger %%I', e.evtname), p.oid::regproc::text
    FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid WHERE e.evtenabled <> 'D' AND p.prosrc ~* %(notify)s
    UNION ALL
    SELECT format('the trigger %%I on %%s', t.tgname, t.tgrelid::regclass), p.oid::regproc::text
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND p.prosrc ~* %(notify)s
    ORDER BY 1
"""
_NOTIFY = r"\mnotify\M|\mpg_notify\M"


def missing_privilege(error: psycopg2.Error) -> str | None:
    """Which object a role may not use as the statement does, who owns it, and which statement helps."""
    statement = statement_of(error)
    words, verb = _words(statement), _VERB.match(statement)
    if verb:
        privileges = [verb[1].upper(), *(["SELECT"] if verb[1].upper() in ("UPDATE", "DELETE") else [])]
        for name, owner, role in _asked(error, _UNREADABLE, words=words, privileges=privileges):
            return f"{name} belongs to {owner}: as that role, `GRANT {', '.join(privileges)} ON {name} TO {role}`"
    for kind, name, owner, role in _asked(error, _FOREIGN, words=words)[:1]:
        if kind == "EXTENSION":
            return f"the extension {name} belongs to {owner}: only that role, or a superuser, may"
        if kind == "SCHEMA":
            return f"schema {name} belongs to {owner}: as that role, `GRANT USAGE, CREATE ON SCHEMA {name} TO {role}`"
        return f"{name} belongs to {owner}: as a superuser, `ALTER {kind} {name} OWNER TO {role}`"
    for schema, is_databases, owner, database_owner, database, role, in_schema, in_database in _asked(error, _SCHEMA):
        if schema is not None and not in_schema:
            if is_databases:
                return (
                    f"the schema {schema} belongs to the owner of the database, {database_owner}: as a superuser, "
                    f"`ALTER DATABASE {database} OWNER TO {role}`"
                )
            return f"the schema {schema} belongs to {owner}: as that role, `GRANT CREATE ON SCHEMA {schema} TO {role}`"
        if not in_database:
            grant = f"GRANT CREATE ON DATABASE {database} TO {role}"
            return f"the database belongs to {database_owner}: as that role, `{grant}`"
    return None


def was_there(error: psycopg2.Error) -> bool:
    """Whether what a statement can't create, because there is one, was there before the statement's transaction."""
    return bool(_asked(error, _THERE, words=_words(statement_of(error))))


def read_only(error: psycopg2.Error) -> str | None:
    """Why a session can't write: a standby, or which setting."""
    for is_standby, is_on, source, database, role in _asked(error, _READ_ONLY):
        if is_standby:
            return "the server is a standby, which takes no writes: use the URL of the primary"
        if is_on:
            reset = _RESETS.get(source, "reset it in the server's configuration")
            return f"default_transaction_read_only is on: {reset.format(database=database, role=role)}"
    return None


def notifying_triggers(error: psycopg2.Error) -> str | None:
    """Which triggers do NOTIFY, and so keep every transaction that fires them from being prepared."""
    found = [f"{trigger} (function {function})" for trigger, function in _asked(error, _NOTIFYING, notify=_NOTIFY)]
    if not found:
        return None
    names = ", ".join(found[:_MOST]) + (f" and {len(found) - _MOST} more" if len(found) > _MOST else "")
    return f"NOTIFY can't be prepared, and {names} may have sent it: set `two_phase: off` for this database"


def statement_of(error: psycopg2.Error) -> str:
    """The statement that failed, as it was sent."""
    sent = getattr(error.cursor, "query", None)
    return sent.decode("utf-8", "replace") if isinstance(sent, bytes) else ""


def _words(statement: str) -> list[str]:
    """The words of a statement that may be names, as the catalogs have them."""
    return [(quoted or plain.lower()).replace('""', '"') for quoted, plain in _WORD.findall(statement)]


def _asked(error: psycopg2.Error, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a query in a new session like that of the error; none if it fails."""
    # A session of ours has its arguments, also after its end; libpq gives those of another one while it lasts.
    failed: Any = getattr(error.cursor, "connection", None)
    try:
        given = getattr(failed, "arguments", None)
        arguments = dict(given or {**failed.info.dsn_parameters, "password": failed.info.password})
        connection = psycopg2.connect(**arguments | {"connect_timeout": _TIMEOUT})
    except (AttributeError, psycopg2.Error):
        return []
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = '{_TIMEOUT}s'")
            cursor.execute(query, parameters)
            return list(cursor.fetchall())
    except psycopg2.Error:
        return []
    finally:
        connection.close()
