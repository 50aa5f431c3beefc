"""Processes that do jobs: what they raise, how they die, and that they do not outlive who made them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from hubless_sim.search.workers import Ended, Job, Lost, Processes, Workers, employed


def done_by(workers: Workers, jobs: list[Job]) -> list[Ended]:
    ended: list[Ended] = []
    waiting = iter(jobs)
    while True:
        while workers.has_room and (job := next(waiting, None)) is not None:
            workers.give(job)
        if workers.is_idle:
            return ended
        ended += workers.wait()


@pytest.mark.parametrize("count", [1, 2])
def test_every_job_ends_once(count):
    with employed(count) as workers:
        ended = done_by(workers, [Job(divmod, (number, 3)) for number in range(20)])
    assert sorted(each.result for each in ended) == [divmod(number, 3) for number in range(20)]
    assert all(each.result == divmod(*each.job.arguments) for each in ended)


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_job_raises_is_raised_where_it_is_waited_for(count):
    with employed(count) as workers, pytest.raises(ZeroDivisionError):
        done_by(workers, [Job(divmod, (1, 0))])


def test_a_process_that_dies_loses_its_job_and_no_other():
    jobs = [Job(divmod, (1, 1)), Job(os._exit, (7,)), *(Job(divmod, (number, 3)) for number in range(6))]
    with employed(2) as workers:
        ended = done_by(workers, jobs)
    lost = [each for each in ended if isinstance(each.result, Lost)]
    assert lost == [Ended(jobs[1], Lost("ended its process with exit code 7"))]
    assert len(ended) == len(jobs)


def test_a_job_without_end_is_lost(monkeypatch):
    monkeypatch.setattr("hubless_sim.search.workers.PATIENCE_S", 0.0)
    job = Job(time.sleep, (3_600,))
    with employed(2) as workers:
        assert done_by(workers, [job]) == [Ended(job, Lost("did not end within 0 s"))]


def test_processes_do_not_hear_of_ctrl_c():
    """It reaches all processes of a terminal; only the one that began them may act on it."""
    with Processes(2) as workers:
        (ended,) = done_by(workers, [Job(signal.pthread_sigmask, (signal.SIG_BLOCK, ()))])
    assert signal.SIGINT in ended.result
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_processes_end_when_their_parent_is_killed_whatever_they_are_at():
    """All of them hold the pipe of the test: it ends when the last one has."""
    program = (
        "import os, signal, time\n"
        "from hubless_sim.search.workers import Job, Processes\n"
        "if __name__ == '__main__':\n"
        "    with Processes(2) as workers:\n"
        "        workers.give(Job(time.sleep, (3_600,)))\n"
        "        workers.give(Job(divmod, (7, 3)))\n"
        "        workers.wait()\n"
        "        print('working', flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"working\n")
