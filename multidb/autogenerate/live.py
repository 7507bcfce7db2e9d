"""Compare models with live databases in place of their branches, as Alembic does: `-x from=live`."""

from dataclasses import replace

from multidb.advice.codes import Code
from multidb.autogenerate.comparison import Comparison
from multidb.autogenerate.draft import Draft, drafted
from multidb.autogenerate.workspace import Workspace
from multidb.database.probe import probing
from multidb.errors import MigrationError
from multidb.planning.environment import Environment
from multidb.replay.replay import Replays
from multidb.schema import snapshot
from multidb.schema.changes import changes, comparable, with_others_kept
from multidb.schema.objects import Schema


def compared_with_live(environment: Environment, replays: Replays, comparison: Comparison) -> Comparison:
    """The same comparison with the live database, whose schema the scratch database gets before anything is tried.

    Raises:
        MigrationError: the live database can't be read, is not at head, or has what no scratch database can have.
    """
    database = comparison.database
    with probing([database], environment.settings.wait) as [probe]:
        live = snapshot.read(probe, environment.settings.lock_wait, for_revision=True)
    environment.branch(database.name).check_at_head(live.heads)
    base = _without_privileges(comparable(live.schema))
    drafts: list[Draft] = []

    def draft(workspace: Workspace, _heads: tuple[str, ...]) -> None:
        drafts.append(drafted(workspace, base, lambda _: []))

    comparison.work(environment, replays, draft)
    [made] = drafts
    if made.failure or made.left:
        reason = str(made.failure) or made.left[0].sentences[0]
        raise MigrationError(
            Code.NOT_REPLAYED,
            f"what its live database has can't be made in a scratch database: {reason}",
            database.name,
        )
    wanted, here = with_others_kept(comparison.models, base, database.ignored)
    found = changes(wanted, here)
    of_branch = comparison if made.pieces else None
    return replace(
        comparison,
        base=here,
        wanted=wanted,
        here=here,
        changes=found,
        of_branch=of_branch,
        prelude=made.pieces,
    )


def _without_privileges(schema: Schema) -> Schema:
    """A schema without grants, whose roles another server may not have."""
    return replace(schema, objects={key: each for key, each in schema.objects.items() if each.kind != "privilege"})
