"""Five nodes that live in this process's memory, and what becomes of payments when they die.

cd examples/testing; python -m pytest .
"""

import payments
import pytest

ORDER = {"order": "order-17", "amount": 30}


@pytest.fixture(autouse=True)
def bank(monkeypatch):
    monkeypatch.setattr(payments, "bank", payments.Bank())
    return payments.bank


def test_nobody_pays_twice_when_a_node_dies(simulated_mesh, bank):
    mesh = simulated_mesh(payments, nodes=5)
    payment = mesh.begin("pay", ORDER)
    mesh.advance(0.8)  # the bank has heard of it, the caller has not
    mesh.kill(mesh.attempts()[0].node)
    assert payment.result() == "order-17 is paid"
    assert [attempt.attempt for attempt in mesh.attempts()] == [1, 2]  # it ran again, on another node
    assert list(bank.payments.values()) == [30]


def test_a_payment_with_a_receipt_outlives_a_power_cut(simulated_mesh):
    mesh = simulated_mesh(payments, nodes=5)
    receipt = mesh.submit("pay", ORDER, idempotency_key="order-17", deadline=24 * 3600)
    mesh.kill(*mesh.nodes, silent=True)
    mesh.advance(hours=1)
    mesh.restart()
    assert mesh.result(receipt.id) == "order-17 is paid"


def test_two_clients_on_two_sides_of_a_cut_pay_once(simulated_mesh, bank):
    mesh = simulated_mesh(payments, nodes=5)
    here, there = mesh.connect("n0"), mesh.connect("n4")
    with mesh.cut(["n0", "n1", here.name], ["n2", "n3", "n4", there.name]):
        first = here.begin("pay", ORDER, idempotency_key="order-17", timeout=60)
        second = there.begin("pay", ORDER, idempotency_key="order-17", timeout=60)
        mesh.advance(seconds=20)
    assert first.result() == second.result() == "order-17 is paid"
    assert list(bank.payments.values()) == [30]
