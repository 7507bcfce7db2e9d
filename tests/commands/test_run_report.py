"""The states in the table at the end of a run, without a server."""

from itertools import count
from unittest.mock import Mock

import pytest
from sqlalchemy.engine import make_url

from multidb.commands.support.run_report import RunReport
from multidb.commands.support.stages import Stages
from multidb.config.configuration import Database
from multidb.database.attempt import Run
from multidb.database.probe import ProbeResult
from multidb.errors import MigrationError
from multidb.planning.plan import Plan, Stage
from multidb.release.coordinator import Outcome, State
from multidb.release.lock_hold import LockHold
from multidb.release.operation import Applied

AUTH, USER = (Database(name, make_url(f"postgresql://host/{name}"), "models") for name in ("auth_db", "user_db"))


def test_a_database_is_committed_in_part_only_while_it_has_stages_left() -> None:
    plans = [Plan(AUTH, (), (Stage(("a",)), Stage(("c",)))), Plan(USER, (), (Stage(("b",)), Stage(("d",))))]
    applied = {"auth_db": Applied(("a",), 1, 0.1), "user_db": Applied(("b",), 1, 0.1)}
    whole = Outcome(applied, dict.fromkeys(applied, State.COMMITTED), {})
    broken = Outcome(applied, {"auth_db": State.COMMITTED, "user_db": State.ROLLED_BACK}, {"user_db": "no room"})
    report = RunReport({each.name: ProbeResult(each) for each in (AUTH, USER)}, LockHold(0))
    stages = Stages(Mock(), plans, Run("upgrade heads"), count(1), 1, Mock(), report)
    stages.committer.commit.side_effect = [whole, broken]  # type: ignore[attr-defined] # a mock
    with pytest.raises(MigrationError, match="the commit failed: user_db: no room"):
        stages.commit_all(two_phase=False)
    assert report.states_text() == "committed: auth_db; committed in part, then rolled back: user_db"


@pytest.mark.parametrize(
    ("two_phase", "advice"),
    [
        (True, "`python -m multidb recover` resolves what is in doubt"),
        (False, "`python -m multidb status` shows whether the commit was carried out"),
    ],
)
def test_recover_is_advised_where_a_transaction_was_prepared(two_phase: bool, advice: str) -> None:
    report = RunReport({"auth_db": ProbeResult(AUTH)}, LockHold(0))
    stages = Stages(Mock(), [Plan(AUTH, (), (Stage(("a",)),))], Run("x"), count(1), 1, Mock(), report)
    stages.committer.commit.return_value = Outcome({}, {"auth_db": State.IN_DOUBT}, {"auth_db": "cut"})  # type: ignore[attr-defined] # a mock
    with pytest.raises(MigrationError):
        stages._commit({"auth_db": 0}, two_phase=two_phase, nontransactional=False)
    assert report.states_text() == f"{State.IN_DOUBT}: auth_db; {advice}"
