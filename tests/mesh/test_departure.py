"""A node leaves in order, and in time."""

from hubless.departure import GOODBYE_NS, PATIENCE_NS, Departure, Stage

MS = 1_000_000


def test_who_stays_asks_for_nothing() -> None:
    departure = Departure()
    assert departure.next_deadline_ns() is None
    assert departure.advance(10**12, work_left=0, goodbye_said=True) is None
    assert not departure.has_begun


def test_work_is_finished_then_goodbye_said_then_it_is_over() -> None:
    departure = Departure()
    assert departure.begin(0)
    assert departure.has_begun
    assert departure.advance(0, work_left=3, goodbye_said=False) is None
    assert departure.advance(20 * MS, work_left=0, goodbye_said=False) is Stage.GOODBYE
    assert departure.advance(40 * MS, work_left=0, goodbye_said=False) is None
    assert departure.advance(60 * MS, work_left=0, goodbye_said=True) is Stage.GONE
    assert departure.next_deadline_ns() is None
    assert departure.advance(80 * MS, work_left=0, goodbye_said=True) is None


def test_one_stage_at_a_time() -> None:
    departure = Departure()
    departure.begin(0)
    assert departure.advance(0, work_left=0, goodbye_said=True) is Stage.GOODBYE
    assert departure.stage is Stage.GOODBYE


def test_it_is_looked_at_again_soon_and_not_before() -> None:
    departure = Departure()
    departure.begin(0)
    departure.advance(0, work_left=1, goodbye_said=False)
    due_ns = departure.next_deadline_ns()
    assert due_ns is not None
    assert departure.advance(due_ns - 1, work_left=0, goodbye_said=False) is None
    assert departure.advance(due_ns, work_left=0, goodbye_said=False) is Stage.GOODBYE


def test_patience_ends_with_work_and_with_goodbyes() -> None:
    departure = Departure()
    departure.begin(0)
    assert departure.advance(PATIENCE_NS - 1, work_left=9, goodbye_said=False) is None
    assert departure.advance(2 * PATIENCE_NS, work_left=9, goodbye_said=False) is Stage.GOODBYE
    assert departure.advance(2 * PATIENCE_NS + GOODBYE_NS - 1, work_left=9, goodbye_said=False) is None
    assert (
        departure.advance(2 * PATIENCE_NS + GOODBYE_NS + 20 * MS, work_left=9, goodbye_said=False)
        is Stage.GONE
    )


def test_leaving_twice_is_leaving_once() -> None:
    departure = Departure()
    assert departure.begin(0)
    assert not departure.begin(PATIENCE_NS)
    assert departure.advance(PATIENCE_NS, work_left=1, goodbye_said=False) is Stage.GOODBYE


def test_the_patient_leave_when_others_keep_what_they_kept() -> None:
    departure = Departure()
    assert departure.begin(0, is_patient=True)
    assert departure.advance(100 * PATIENCE_NS, work_left=1, goodbye_said=False) is None
    assert departure.advance(101 * PATIENCE_NS, work_left=0, goodbye_said=False) is Stage.GOODBYE


def test_the_goodbye_of_the_patient_is_as_short_as_any() -> None:
    departure = Departure()
    departure.begin(0, is_patient=True)
    departure.advance(0, work_left=0, goodbye_said=False)
    assert departure.advance(GOODBYE_NS, work_left=0, goodbye_said=False) is Stage.GONE


def test_a_second_wish_ends_the_patience_of_the_first() -> None:
    departure = Departure()
    departure.begin(0, is_patient=True)
    assert not departure.begin(PATIENCE_NS)
    assert departure.advance(2 * PATIENCE_NS - 1, work_left=1, goodbye_said=False) is None
    assert departure.advance(3 * PATIENCE_NS, work_left=1, goodbye_said=False) is Stage.GOODBYE


def test_a_second_wish_does_not_make_the_first_patient() -> None:
    departure = Departure()
    departure.begin(0)
    assert not departure.begin(1, is_patient=True)
    assert departure.advance(PATIENCE_NS, work_left=1, goodbye_said=False) is Stage.GOODBYE
