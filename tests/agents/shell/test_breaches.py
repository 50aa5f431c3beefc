"""Workers that hang, crash, lie or flood: each ends in a failure that says so, and the next task is answered."""

import pytest

from hubless_agents import Effect, Failed, OffersChanged, Succeeded, WorkersFailing

AGENTS = """
    import ctypes, os, signal, socket, stat, subprocess, sys, time
    from hubless_agents import agent

    class Odd(BaseException):
        def __str__(self):
            raise RuntimeError("no text")

    def own_socket():
        for name in os.listdir("/proc/self/fd"):
            try:
                mode = os.stat(int(name)).st_mode
            except OSError:
                continue
            if int(name) > 2 and stat.S_ISSOCK(mode):
                return int(name)

    @agent
    def pid() -> int:
        return os.getpid()

    @agent(deadline_s=0.2)
    def hangs() -> None:
        while True:
            pass

    @agent(memory_mb=150)
    def hoards() -> None:
        kept = []
        while True:
            kept.append(bytearray(b"x" * 1_000_000))

    @agent
    def ends(how: str) -> None:
        if how == "os._exit":
            os._exit(3)
        if how == "segfault":
            ctypes.string_at(0)
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "junk":
            os.write(own_socket(), b"\\x00\\x00\\x00\\x04junk")
            time.sleep(600)
        if how == "endless frame":
            os.write(own_socket(), b"\\xff" * 4096)
            time.sleep(600)
        if how == "closed socket":
            sock = socket.socket(fileno=own_socket())
            sock.shutdown(socket.SHUT_WR)
            sock.detach()
            time.sleep(600)

    @agent
    def raises(how: str) -> None:
        if how == "SystemExit":
            sys.exit(3)
        if how == "KeyboardInterrupt":
            raise KeyboardInterrupt
        if how == "RecursionError":
            raises(how)
        if how == "Odd":
            raise Odd
        if how == "KeyError":
            print("\\ud800")
            raise KeyError("\\ud800")
        raise ValueError("a reason")

    @agent
    def out_of_memory() -> None:
        raise MemoryError

    @agent
    def wrong_type() -> int:
        return "one"

    @agent
    def no_json():
        return object()

    @agent
    def huge():
        return "x" * 3_000_000

    @agent
    def floods() -> int:
        for number in range(300_000):
            print("a line that nobody will ever read", number)
        sys.stdout.write("y" * 5_000_000)
        return number

    @agent
    def leaves_child() -> int:
        child = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"])
        print("child", child.pid, flush=True)
        os._exit(1)
"""


@pytest.fixture
def shop(node):
    return node(AGENTS).ready()


def failure_of(outcome):
    assert isinstance(outcome, Failed), outcome
    return outcome.failure


def test_hung_task_is_killed_at_its_deadline_and_a_spare_takes_over(shop, ended):
    before = int(shop.call("pid").payload)
    failed = failure_of(shop.call("hangs"))
    assert (failed.code, failed.effect) == ("deadline", Effect.MAYBE)
    assert int(shop.call("pid").payload) != before
    assert ended(before)


def test_memory_beyond_the_limit_is_stopped(shop):
    failed = failure_of(shop.call("hoards"))
    assert (failed.code, failed.effect) == ("out_of_memory", Effect.MAYBE)
    assert "limit 150 MiB" in failed.message
    assert isinstance(shop.call("pid"), Succeeded)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("os._exit", "exit code 3"),
        ("segfault", "SIGSEGV"),
        ("killed", "SIGKILL"),
        ("junk", "junk"),
        ("endless frame", "limit"),
        ("closed socket", "SIGKILL"),
    ],
)
def test_death_of_a_worker_names_its_kind(shop, how, text):
    failed = failure_of(shop.call("ends", f'"{how}"'.encode()))
    assert (failed.code, failed.effect) == ("worker_died", Effect.MAYBE)
    assert text in failed.message
    assert isinstance(shop.call("pid"), Succeeded)


@pytest.mark.parametrize(
    "how", ["SystemExit", "KeyboardInterrupt", "RecursionError", "Odd", "KeyError", "ValueError"]
)
def test_any_exception_is_a_failure_and_the_worker_goes_on(shop, how):
    before = shop.call("pid").payload
    failed = failure_of(shop.call("raises", f'"{how}"'.encode()))
    assert (failed.code, failed.effect) == ("raised", Effect.MAYBE)
    assert failed.message.startswith(how)
    assert shop.call("pid").payload == before


def test_traceback_starts_in_the_users_code(shop):
    failed = failure_of(shop.call("raises", b'""'))
    assert failed.message == "ValueError: a reason"
    assert 'raise ValueError("a reason")' in failed.detail
    assert "hubless_agents" not in failed.detail


def test_memory_error_retires_the_process(shop):
    before = shop.call("pid").payload
    assert failure_of(shop.call("out_of_memory")).code == "out_of_memory"
    assert shop.call("pid").payload != before


@pytest.mark.parametrize("agent", ["wrong_type", "no_json"])
def test_answer_that_breaks_the_contract_costs_the_process(shop, agent):
    before = shop.call("pid").payload
    failed = failure_of(shop.call(agent))
    assert (failed.code, failed.effect) == ("bad_output", Effect.DONE)
    assert shop.call("pid").payload != before


def test_huge_answer_is_refused_with_its_size(shop):
    failed = failure_of(shop.call("huge"))
    assert (failed.code, failed.effect) == ("payload_too_large", Effect.DONE)
    assert "3000002 bytes" in failed.message


def test_flood_of_output_is_cut_and_the_task_answered(shop):
    assert isinstance(shop.call("floods"), Succeeded)
    shop.pool.close()
    assert len(shop.lines) < 30_000
    assert any("lines dropped" in line for _, _, line in shop.lines)
    assert all(len(line) < 5_000 for _, _, line in shop.lines)


def test_segmentation_fault_tells_where(shop):
    assert "in ends" in failure_of(shop.call("ends", b'"segfault"')).detail


def test_children_of_a_dead_worker_die_with_it(shop, ended):
    assert failure_of(shop.call("leaves_child")).code == "worker_died"
    (child,) = [int(line.split()[1]) for _, _, line in shop.lines if line.startswith("child ")]
    assert ended(child)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError"),
        ("raise SystemExit(4)", "SystemExit: 4"),
        ("def broken(:", "SyntaxError"),
        ("x = 1", "has no agents"),
        ("from hubless_agents import agent\n@agent\ndef f(*a): ...", "parameter *a"),
        ("from hubless_agents import agent\n@agent(retries=-1)\ndef f(): ...", "retries"),
    ],
)
def test_file_that_cannot_be_loaded_is_told_with_its_traceback(node, source, text):
    one = node(source)
    one.until(lambda: any(isinstance(effect, WorkersFailing) for effect in one.told))
    (failing,) = [effect for effect in one.told if isinstance(effect, WorkersFailing)]
    assert text in failing.failure.message
    assert "shop.py" in failing.failure.detail or "no agents" in text or "parameter" in text
    assert failure_of(one.call("f")).code == "no_executor"


def test_failing_starts_pause_longer_and_longer(node):
    one = node("1/0", backoff_base_ms=20)
    one.until(lambda: sum(isinstance(effect, WorkersFailing) for effect in one.told) >= 4)
    pauses = [effect.consecutive for effect in one.told if isinstance(effect, WorkersFailing)]
    assert pauses == [1, 2, 3, 4]
    assert not any(isinstance(effect, OffersChanged) for effect in one.told)
