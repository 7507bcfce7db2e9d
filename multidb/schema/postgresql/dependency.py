"""What uses a column, a type or a view that is to be changed: it is dropped before, and made again after."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from multidb.schema.difference import LAST_OID, Stage, Statement
from multidb.schema.objects import Address, Sides
from multidb.schema.postgresql.base import PostgresqlObject

# Each row: the object that uses another, and that other one. Of a view, its rule does; of a generated column, its
# expression.
QUERY = """
    SELECT u.catalog, u.oid, u.number, p.refclassid::regclass::text, p.refobjid, p.refobjsubid
    FROM (
        SELECT 'pg_class'::regclass AS classid, indexrelid AS objid, 'pg_class' AS catalog, indexrelid AS oid,
               0 AS number
        FROM indexes
        UNION ALL SELECT 'pg_constraint'::regclass, oid, 'pg_constraint', oid, 0 FROM constraints
        UNION ALL
        SELECT 'pg_attrdef'::regclass, d.oid, 'pg_class', d.adrelid, d.adnum
        FROM pg_attrdef d JOIN columns c ON c.oid = d.adrelid AND c.attnum = d.adnum WHERE c.attgenerated <> ''
        UNION ALL
        SELECT 'pg_rewrite'::regclass, w.oid, 'pg_class', r.oid, 0
        FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class WHERE r.relkind IN ('v', 'm')
        UNION ALL SELECT 'pg_trigger'::regclass, oid, 'pg_trigger', oid, 0 FROM triggers WHERE NOT tgisinternal
        UNION ALL SELECT 'pg_proc'::regclass, oid, 'pg_proc', oid, 0 FROM functions
    ) u JOIN pg_depend p USING (classid, objid)
    WHERE p.deptype IN ('n', 'a') AND NOT (
        p.refclassid = 'pg_class'::regclass AND p.refobjid = u.oid AND u.number IN (0, p.refobjsubid)
    )
    UNION ALL
    -- A foreign key uses the index of another constraint.
    SELECT 'pg_constraint', k.oid, 0, 'pg_constraint', other.oid, 0
    FROM constraints k JOIN pg_constraint other ON other.conindid = k.conindid
    WHERE k.contype = 'f' AND other.contype IN ('p', 'u')
"""
# What uses an array type uses the type of its elements.
ARRAYS = "SELECT typarray, oid FROM pg_type WHERE typarray <> 0 AND typtype IN ('e', 'd')"


@dataclass(frozen=True)
class Detached:
    """The statements before and after a change."""

    before: list[Statement]
    after: list[Statement]

    def around(self, statements: Iterable[Statement]) -> list[Statement]:
        """All statements, each text once."""
        found = {each.text: each for each in (*self.before, *statements, *sorted(self.after))}
        return list(found.values())


def detached(changed: Iterable[Address], sides: Sides, spared: Collection[str] = ()) -> Detached:
    """Drop what uses live objects, directly or not, and make it again: as it is wanted, or else as it is.

    Args:
        changed: the addresses of the live objects.
        spared: kinds of objects that PostgreSQL itself keeps or builds again if they use the live objects directly;
            `key` for primary keys and UNIQUE.
    """
    objects = {each.address: each for each in sides.live.objects.values() if isinstance(each, PostgresqlObject)}
    users: dict[Address, list[PostgresqlObject]] = {}
    for user, (catalog, oid, number) in sides.live.uses:
        for used in {(catalog, oid, number), (catalog, oid, 0)}:  # a view is dropped as a whole
            users.setdefault(used, []).extend([objects[user]] if user in objects else [])
    depths: dict[Address, int] = {}

    def visit(address: Address, depth: int) -> None:
        for user in users.get(address, ()):
            is_spared = depth == 1 and user.role in spared and _stays(user, sides)
            if depths.get(user.address, 0) < depth and not is_spared:
                depths[user.address] = depth
                visit(user.address, depth + 1)

    for address in changed:
        visit(address, 1)
    found = Detached([], [])
    for address, depth in sorted(depths.items(), key=lambda pair: -pair[1]):
        found.before.extend(replace(each, rank=(Stage.DETACH, -depth)) for each in objects[address].drop(sides))
        found.after.extend(_made_again(objects[address], depth, sides))
    return found


def _stays(live: PostgresqlObject, sides: Sides) -> bool:
    """Whether no change of its own drops an object: PostgreSQL can't build a key again that loses the column."""
    return sides.wanted.objects.get(live.key, live) == live


def _made_again(live: PostgresqlObject, depth: int, sides: Sides) -> list[Statement]:
    wanted = sides.wanted.objects.get(live.key)
    made = wanted if isinstance(wanted, PostgresqlObject) else live
    created = made.create_alone(sides)
    if made is live:  # which nothing that is wanted uses
        created = [replace(each, rank=(each.rank[0], LAST_OID + depth)) for each in created]
    # A function comes after all columns that it may use, and before what may use it.
    created = [
        replace(each, rank=(Stage.COLUMN, LAST_OID)) if each.rank[0] == Stage.CREATE else each for each in created
    ]
    inside = {each.key: each for side in (sides.live, sides.wanted) for each in side.dependents(live.key)}
    for each in inside.values():
        created += each.create_alone(sides) if each.is_annotation and not each.is_default else ()
    return created
