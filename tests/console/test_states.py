"""The allowed changes of status, and those that are not."""

from __future__ import annotations

from itertools import product

import pytest

from console import states
from console.models import Run
from console.states import TRANSITIONS, ForbiddenTransition, Status
from tests.console.factories import RunFactory

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.mark.parametrize(("source", "target"), sorted(TRANSITIONS))
def test_an_allowed_change_is_made_and_has_its_reason(source: Status, target: Status) -> None:
    run = RunFactory.create(status=source)
    assert states.transition(run.pk, target, expect=source)
    run.refresh_from_db()
    assert run.status == target
    assert TRANSITIONS[source, target]


@pytest.mark.parametrize(
    ("source", "target"), sorted(pair for pair in product(Status, Status) if pair not in TRANSITIONS)
)
def test_a_forbidden_change_is_a_mistake_in_the_program(source: Status, target: Status) -> None:
    run = RunFactory.create(status=source)
    with pytest.raises(ForbiddenTransition, match=f"from {source} to {target}"):
        states.transition(run.pk, target, expect=source)
    run.refresh_from_db()
    assert run.status == source


def test_nothing_leads_out_of_an_end() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] in states.FINISHED]


def test_of_two_that_change_the_same_run_one_succeeds() -> None:
    run = RunFactory.create()
    assert states.transition(run.pk, Status.RUNNING, expect=Status.ENQUEUED)
    assert not states.transition(run.pk, Status.CANCELLED, expect=Status.ENQUEUED, note="too late")
    run.refresh_from_db()
    assert (run.status, run.note) == (Status.RUNNING, "")


def test_an_older_attempt_changes_nothing() -> None:
    run = RunFactory.create(running=True, attempt=2)
    assert not states.transition(run.pk, Status.SUCCEEDED, expect=Status.RUNNING, attempt=1)
    assert states.transition(run.pk, Status.SUCCEEDED, expect=Status.RUNNING, attempt=2)


def test_a_claim_counts_the_attempt_up() -> None:
    run = RunFactory.create(attempt=4)
    assert states.transition(run.pk, Status.RUNNING, expect=Status.ENQUEUED, next_attempt=True)
    run.refresh_from_db()
    assert run.attempt == 5


def test_a_further_condition_must_hold() -> None:
    run = RunFactory.create(note="one")
    assert not states.transition(run.pk, Status.RUNNING, expect=Status.ENQUEUED, where={"note": "other"})
    assert states.transition(run.pk, Status.RUNNING, expect=Status.ENQUEUED, where={"note": "one"})
    assert Run.objects.active().count() == 1
