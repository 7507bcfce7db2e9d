"""Privileges: an object for each grantee of an object of another kind, with all that the grantee may do."""

from collections.abc import Iterator
from dataclasses import field, replace
from typing import Self

from multidb.output import listed
from multidb.schema.difference import HARMLESS, Difference, Stage, Statement
from multidb.schema.objects import OWNER, Sides
from multidb.schema.postgresql.base import PostgresqlObject, role

_OPTION = " WITH GRANT OPTION"


class Privilege(PostgresqlObject):
    kind, stage, severity_if_missing = "privilege", Stage.PRIVILEGE, HARMLESS
    is_annotation, is_declarable = True, False
    query = """
        SELECT o.name || ': ' || g.name AS name, ARRAY[o.kind, o.name] AS parent, g.name AS grantee, o.target,
               o.acl IS NULL AS is_implicit,
               array_agg(DISTINCT
                   (x.privilege_type || coalesce(' (' || o.column || ')', '') || options.text) COLLATE "C"
               ) AS privileges
        FROM (
            SELECT kind, name, relowner AS owner, NULL AS column,
                   relacl AS acl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner) AS default,
                   CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || identifier AS target
            FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
            UNION ALL
            SELECT 'column', name, relowner, identifier, attacl, NULL, 'TABLE ' || "table"
            FROM columns WHERE attacl IS NOT NULL
            UNION ALL
            SELECT 'function', name, proowner, NULL, proacl, acldefault('f', proowner), 'ROUTINE ' || identifier
            FROM functions
            UNION ALL
            SELECT 'enum', name, typowner, NULL, typacl, acldefault('T', typowner), 'TYPE ' || identifier
            FROM enums
            UNION ALL
            SELECT 'domain', name, typowner, NULL, typacl, acldefault('T', typowner), 'TYPE ' || identifier
            FROM domains
            UNION ALL
            SELECT 'schema', nspname, nspowner, NULL, nspacl, acldefault('n', nspowner), 'SCHEMA ' || identifier
            FROM schemas WHERE is_default OR key IS NOT NULL
        ) o
        CROSS JOIN LATERAL aclexplode(coalesce(o.acl, o.default)) x
        JOIN (VALUES (''), (' WITH GRANT OPTION')) options (text) ON options.text = '' OR x.is_grantable
        CROSS JOIN LATERAL (
            SELECT CASE WHEN x.grantee = 0 THEN 'PUBLIC' WHEN x.grantee = o.owner THEN '@owner'
                        ELSE coalesce((SELECT r.name FROM roles r WHERE r.oid = x.grantee), x.grantee::text) END AS name
        ) g
        GROUP BY o.kind, o.name, o.target, g.name, o.acl IS NULL
    """
    privileges: tuple[str, ...]
    grantee: str = field(compare=False)
    target: str = field(compare=False)
    is_implicit: bool = field(default=False, compare=False)  # nothing was granted or revoked on the object

    @property
    def aliases(self) -> set[str]:
        return super().aliases | {self.grantee}

    @property
    def is_default(self) -> bool:
        return self.grantee == OWNER or self.is_implicit

    def as_missing(self, sides: Sides) -> Difference:
        return replace(super().as_missing(sides), sentence=self._sentence("lacks"))

    def as_extra(self, sides: Sides) -> Difference:
        them = "them" if len(self.privileges) > 1 else "it"
        sentence = f"{self._sentence('has')}; {sides.revision} does not grant {them}"
        return replace(super().as_extra(sides), sentence=sentence)

    def as_changed(self, live: Self, attribute: str, sides: Sides) -> Iterator[Difference]:
        missing = tuple(each for each in self.privileges if each not in live.privileges)
        extra = tuple(each for each in live.privileges if each not in self.privileges)
        if missing:
            yield replace(self, privileges=missing).as_missing(sides)
        if extra and not sides.ignores(live.aliases):
            yield replace(live, privileges=extra).as_extra(sides)

    def _sentence(self, verb: str) -> str:
        subject = "the owner" if self.grantee == OWNER else self.grantee
        return f"{subject} {verb} {listed(self.privileges)} on {self.parent[1] if self.parent else '?'}"

    def creation(self, sides: Sides) -> list[str]:
        options, bare = self._split()
        bare = [each for each in bare if each not in options]  # which WITH GRANT OPTION includes
        to = f"ON {self.target} TO {role(self.grantee, sides)}"
        texts = [f"GRANT {', '.join(bare)} {to}"] if bare else []
        return [*texts, f"GRANT {', '.join(options)} {to}{_OPTION}"] if options else texts

    def drop(self, sides: Sides) -> list[Statement]:
        options, bare = self._split()
        source = f"ON {self.target} FROM {role(self.grantee, sides)}"
        texts = [f"REVOKE GRANT OPTION FOR {', '.join(options)} {source}"] if options else []
        return self.ranked(*texts, *([f"REVOKE {', '.join(bare)} {source}"] if bare else []))

    def _split(self) -> tuple[list[str], list[str]]:
        """The privileges with the grant option, without these words, and the others."""
        options = [each.removesuffix(_OPTION) for each in self.privileges if each.endswith(_OPTION)]
        return options, [each for each in self.privileges if not each.endswith(_OPTION)]
