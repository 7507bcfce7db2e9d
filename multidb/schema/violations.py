"""SQL that counts the rows which prevent a change. Names and conditions are as the catalogs quote them."""

from collections.abc import Iterable, Mapping, Sequence


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


def count_overlaps(table: str, keys: Sequence[str], *, nulls: bool = False) -> str:
    """Count the rows whose period, the last key, is empty or overlaps that of another row with the same other keys.

    With `nulls`, rows with a NULL in a key are counted, too, as in a primary key.
    """
    *others, period = keys
    same = " AND ".join([*(f"other.{key} = own.{key}" for key in others), f"other.{period} && own.{period}"])
    row = "(other.tableoid, other.ctid) <> (own.tableoid, own.ctid)"
    overlapping = f"EXISTS (SELECT FROM {table} AS other WHERE {row} AND {same})"
    null = "".join(f" OR own.{key} IS NULL" for key in keys) if nulls else ""
    return f"SELECT count(*) FROM {table} AS own WHERE isempty(own.{period}) OR {overlapping}{null}"


def count_uncovered(table: str, referenced: str, keys: Mapping[str, str]) -> str:
    """Count the rows whose period, the last key, is not covered by those of the referenced rows."""
    *others, (own, theirs) = keys.items()
    known = " AND ".join(f"child.{key} IS NOT NULL" for key in keys)
    same = " AND ".join(f"parent.{key} = child.{own_key}" for own_key, key in others) or "true"
    covered = f"SELECT range_agg(parent.{theirs}) FROM {referenced} AS parent WHERE {same}"
    return f"SELECT count(*) FROM {table} AS child WHERE {known} AND (child.{own} <@ ({covered})) IS NOT TRUE"
