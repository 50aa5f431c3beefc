"""Nothing is left behind: no process, no zombie, no descriptor, even when the node itself is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hubless_agents import Assignment, Failed, Offered, Pool, SpawnWorker, Succeeded, WorkerExited
from hubless_agents.standalone import Standalone

AGENTS = """
    import os, time
    from hubless_agents import agent

    @agent
    def sleeps() -> None:
        print("sleeping", flush=True)
        time.sleep(600)

    @agent
    def crashes() -> None:
        os._exit(7)
"""

NODE = """
import sys
from hubless_agents.standalone import Standalone
from hubless_agents import Assignment, Offered
node = Standalone(sys.argv[1], on_log=lambda *_: print(*node.pool.pids().values(), flush=True))
node.until(lambda: node.supervisor.load())
node.offer(Offered(Assignment(bytes(16), 1, "sleeps", b"null", 1 << 62)))
node.until(lambda: False)
"""


def open_fds():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_workers_die_with_a_node_that_is_killed(user_file, ended):
    command = [sys.executable, "-c", NODE, str(user_file(AGENTS))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert pids
    assert all(ended(pid) for pid in pids)


def test_close_ends_and_reaps_everything(node):
    before = open_fds()
    one = node(AGENTS).ready(2)
    one.ask("sleeps")
    pids = list(one.pool.pids().values())
    one.pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert open_fds() == before
    one.pool.close()  # a second time is fine


def test_death_is_noticed_without_exit_descriptors(node, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    one = node(AGENTS).ready(2)
    outcome = one.call("crashes")
    assert isinstance(outcome, Failed)
    assert "exit code 7" in outcome.failure.message


def test_process_that_cannot_be_started_is_an_event(user_file):
    pool = Pool(str(user_file(AGENTS)), node="n", python="/no/such/python")
    try:
        pool.perform(SpawnWorker(1))
        pool.flush()
        (event,) = pool.collect()
    finally:
        pool.close()
    assert isinstance(event, WorkerExited)
    assert event.reason == "spawn_failed"


def test_missing_file_is_refused_where_the_pool_is_made(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        Pool(str(tmp_path / "none.py"), node="n")


def test_module_can_be_given_by_name(tmp_path, monkeypatch):
    (tmp_path / "corner_shop.py").write_text(
        "from hubless_agents import agent\n@agent\ndef one() -> int:\n    return 1\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    with Standalone("corner_shop") as one:
        one.until(lambda: bool(one.supervisor.load()))
        one.offer(Offered(Assignment(bytes(16), 1, "one", b"null", 1 << 62)))
        one.until(lambda: bool(one.outcomes))
        (outcome,) = one.outcomes.values()
    assert isinstance(outcome, Succeeded)
