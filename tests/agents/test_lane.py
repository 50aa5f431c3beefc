"""The line of tasks in one worker, against the rule said in words."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_agents.lane import Lane


@dataclass
class Task:
    lane_agent: str
    lane_limit: int


LIMITS = {"one": 1, "three": 3}


def front(line):
    """One agent's tasks at the front, at most its limit."""
    count = 0
    for _, task in line:
        if task.lane_agent != line[0][1].lane_agent or count == task.lane_limit:
            break
        count += 1
    return [give for give, _ in line[:count]]


def test_later_tasks_of_the_running_agent_do_not_overtake_another_agent():
    lane: Lane[Task] = Lane()
    first, other, late = Task("three", 3), Task("one", 1), Task("three", 3)
    assert lane.add(1, first) is first
    assert lane.add(2, other) is None
    assert lane.add(3, late) is None
    assert not lane.has_room_for(late)
    assert lane.remove(1) == (first, [(2, other)])
    assert lane.remove(2) == (other, [(3, late)])


def test_unknown_task_is_none():
    lane: Lane[Task] = Lane()
    assert lane.remove(7) == (None, [])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(sorted(LIMITS)), st.integers(0, 9)), max_size=40))
def test_running_is_always_the_front_of_the_line(steps):
    lane: Lane[Task] = Lane()
    line: list[tuple[int, Task]] = []
    for give, step in enumerate(steps):
        if isinstance(step, str):
            task = Task(step, LIMITS[step])
            line.append((give, task))
            assert (lane.add(give, task) is not None) == (give in front(line))
        elif step < len(line):
            before = front(line)
            number, task = line.pop(step)
            taken, started = lane.remove(number)
            assert taken is task
            assert [one for one, _ in started] == [one for one in front(line) if one not in before]
        assert list(lane.running) == front(line)
        assert len(lane) == len(line)
