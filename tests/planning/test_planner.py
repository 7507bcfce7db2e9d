"""How the steps of a run are cut into stages."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from multidb.errors import MigrationError
from multidb.planning.plan import Step
from multidb.planning.planner import stages_of


def step(folder: Path, name: str, **declared: object) -> Step:
    """A step that runs a revision whose file says nothing unusual."""
    file = folder / f"{name}.py"
    file.write_text(f'revision = "{name}"\n\n\ndef upgrade():\n    pass\n')
    module = SimpleNamespace(__file__=str(file), **declared)
    script = SimpleNamespace(revision=name, path=str(file), module=module)
    return SimpleNamespace(revision=script, is_upgrade=True)


def test_ordinary_revisions_are_one_stage(tmp_path: Path) -> None:
    steps = [step(tmp_path, name) for name in "abc"]
    [stage] = stages_of(steps)
    assert stage.steps == tuple(steps)
    assert not stage.nontransactional


def test_a_revision_outside_a_transaction_is_a_stage_of_its_own(tmp_path: Path) -> None:
    before, outside, after, last = (
        step(tmp_path, "a"),
        step(tmp_path, "b", outside_transaction=True),
        step(tmp_path, "c"),
        step(tmp_path, "d"),
    )
    stages = stages_of([before, outside, after, last])
    assert [stage.steps for stage in stages] == [(before,), (outside,), (after, last)]
    assert [stage.nontransactional for stage in stages] == [False, True, False]


def test_two_revisions_outside_a_transaction_share_no_stage(tmp_path: Path) -> None:
    stages = stages_of([step(tmp_path, name, outside_transaction=True) for name in "ab"])
    assert [stage.nontransactional for stage in stages] == [True, True]


def test_stamps_are_one_stage() -> None:
    assert [len(stage.steps) for stage in stages_of([SimpleNamespace(), SimpleNamespace()])] == [2]


def test_no_step_is_no_stage() -> None:
    assert stages_of([]) == ()


def test_an_undeclared_autocommit_block_is_refused(tmp_path: Path) -> None:
    hidden = step(tmp_path, "a")
    Path(hidden.revision.path).write_text(
        "def upgrade():\n    with op.get_context().autocommit_block():\n        op.execute('VACUUM')\n"
    )
    with pytest.raises(MigrationError, match="outside_transaction = True"):
        stages_of([hidden])
