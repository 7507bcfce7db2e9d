"""SQL that counts the rows which prevent a change. Names and conditions are as the catalogs quote them."""

from collections.abc import Iterable, Mapping


def count_rows(table: str, condition: str = "true") -> str:
    return f"SELECT count(*) FROM {table} WHERE {condition}"


def count_duplicates(table: str, keys: Iterable[str], predicate: str | None = None, *, nulls: bool = False) -> str:
    """Count the rows with the keys of another row; `nulls`: NULL equals NULL, as in a primary key."""
    keys = list(keys)
    conditions = [] if nulls else [f"{key} IS NOT NULL" for key in keys]
    condition = " AND ".join([*conditions, *([f"({predicate})"] if predicate else [])]) or "true"
    distinct = f"SELECT DISTINCT {', '.join(keys)} FROM {table} WHERE {condition}"
    return f"SELECT count(*) - (SELECT count(*) FROM ({distinct}) AS keys) FROM {table} WHERE {condition}"


def count_orphans(table: str, referenced: str, keys: Mapping[str, str]) -> str:
    """Count the rows without a referenced row; `keys` has the referencing columns, and for each the referenced one."""
    known = " AND ".join(f"child.{own} IS NOT NULL" for own in keys)
    same = " AND ".join(f"parent.{theirs} = child.{own}" for own, theirs in keys.items())
    parent = f"SELECT FROM {referenced} AS parent WHERE {same}"
    return f"SELECT count(*) FROM {table} AS child WHERE {known} AND NOT EXISTS ({parent})"
