"""What must hold of the answers of a trial."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

from hubless_sim import checkers
from hubless_sim.checkers import REJECTED, UNKNOWN
from hubless_sim.checkers.linearizability import Mark
from hubless_sim.maelstrom.clients import Done
from hubless_sim.maelstrom.node import Workload
from hubless_sim.maelstrom.protocol import Body, Error
from hubless_sim.verdict import Violation, breaches

_MOST_SUMS = 100_000


def violations(workload: Workload, done: Sequence[Done], nodes: int) -> list[Violation]:
    """Everything that must hold and does not."""
    check: Callable[[Sequence[Done]], Iterator[str]] = {
        "echo": _echoes,
        "unique-ids": _unique,
        "broadcast": _all_there,
        "g-set": _all_there,
        "pn-counter": _sums,
        "lin-kv": _linearizable,
    }[workload]
    found = [*breaches(workload, check(done))]
    if workload not in ("echo", "unique-ids"):
        asked = {each.node for each in done if each.is_final and _is_ok(each)}
        missing = [f"n{node}" for node in range(nodes) if node not in asked]
        if workload != "lin-kv" and missing:
            found.append(Violation("answered at last", f"{', '.join(missing)} did not answer the last read"))
    if all(each.answer is None for each in done):
        found.append(Violation("answered at all", "no request was answered"))
    return found


def _is_ok(done: Done) -> bool:
    return done.answer is not None and done.answer["type"] != "error"


def _echoes(done: Sequence[Done]) -> Iterator[str]:
    for each in done:
        if each.answer is not None and each.answer.get("echo") != each.request["echo"]:
            yield f"{each.request['echo']!r} came back as {each.answer}"


def _unique(done: Sequence[Done]) -> Iterator[str]:
    seen: set[str] = set()
    for each in done:
        if each.answer is not None and _is_ok(each):
            if each.answer["id"] in seen:
                yield f"the id {each.answer['id']} was given twice"
            seen.add(each.answer["id"])


def _values(answer: Body) -> list[object]:
    found: list[object] = answer["messages"] if "messages" in answer else answer["value"]
    return found


def _all_there(done: Sequence[Done]) -> Iterator[str]:
    """What was acknowledged is in every last read, what was never tried in none, and nothing twice."""
    added = {each.request.get("message", each.request.get("element")): each for each in done if _adds(each)}
    acknowledged = {value for value, each in added.items() if _is_ok(each)}
    for each in done:
        if each.answer is None or not _is_ok(each) or each.request["type"] != "read":
            continue
        values = _values(each.answer)
        if len(values) != len(set(values)):
            yield f"n{each.node} has a value twice"
        if strange := set(values) - added.keys():
            yield f"n{each.node} has what nobody added: {sorted(map(str, strange))[:5]}"
        if each.is_final and (lost := acknowledged - set(values)):
            yield f"n{each.node} lacks {len(lost)} of {len(acknowledged)} at the end: {sorted(map(str, lost))[:5]}"


def _adds(done: Done) -> bool:
    return done.request["type"] in ("broadcast", "add")


def _sums(done: Sequence[Done]) -> Iterator[str]:
    """Every last read is what was acknowledged and some of what may have been done."""
    sums = {sum(each.request["delta"] for each in done if _adds(each) and _is_ok(each))}
    for each in done:
        if _adds(each) and each.answer is None and len(sums) < _MOST_SUMS:
            sums |= {known + each.request["delta"] for known in sums}
    read: set[int] = set()
    for each in done:
        if each.is_final and each.answer is not None and _is_ok(each):
            value = each.answer["value"]
            read.add(value)
            if value not in sums:
                yield f"n{each.node} counts {value} at the end; possible are {min(sums)} to {max(sums)}"
    if len(read) > 1:
        yield f"the nodes count differently at the end: {sorted(read)}"


class _KeySpec:
    """A register for each key that can be compared and set: an input is the body of a request."""

    def part(self, op_input: Body) -> Hashable:
        key: Hashable = op_input["key"]
        return key

    def initial(self) -> Hashable:
        return None

    def step(self, state: Hashable, op_input: Body, op_output: object) -> Hashable | Mark:
        match op_input["type"]:
            case "write":
                return _value(op_input["value"])
            case "cas":
                return self._swap(state, op_input, op_output)
            case _:
                return state if op_output is UNKNOWN or op_output == state else REJECTED

    def stays_quiet(self, op_input: Body) -> bool:
        return str(op_input["type"]) == "read"

    def _swap(self, state: Hashable, op_input: Body, op_output: object) -> Hashable | Mark:
        if state is None:
            error: Error | None = Error.KEY_DOES_NOT_EXIST
        else:
            error = None if state == op_input["from"] else Error.PRECONDITION_FAILED
        if op_output is not UNKNOWN and op_output != error:
            return REJECTED
        return _value(op_input["to"]) if error is None else state


def _value(raw: object) -> Hashable:
    """Keys hold numbers in a trial; None is what no key holds."""
    return raw if isinstance(raw, int) else str(raw)


def _linearizable(done: Sequence[Done]) -> Iterator[str]:
    history = []
    for each in done:
        answer = each.answer
        if answer is not None and answer.get("code") == Error.TEMPORARILY_UNAVAILABLE:
            continue  # certainly without effect
        output: object = UNKNOWN
        if answer is not None:
            is_read = each.request["type"] == "read"
            output = answer.get("value") if is_read else Error(answer["code"]) if "code" in answer else None
        history.append(
            checkers.Operation(each.call_ns, each.return_ns, each.request, output, f"c{each.client}")
        )
    verdict = checkers.check(history, _KeySpec())
    if verdict.is_linearizable is not True:
        yield f"the history of key {verdict.part} is not linearizable: see {verdict.culprit}"
