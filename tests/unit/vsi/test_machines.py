"""The machines by themselves."""

import pytest

from harness.vsi.ecp_machine import (
    Acknowledged,
    Delivered,
    EcpReceiver,
    EcpSender,
    GivenUp,
    Passed,
    Submit,
    Transmit,
    receive,
    send,
)
from harness.vsi.facts import Association, Command, Dialect, FilterInfo, Vsi, manager_of
from harness.vsi.vdp_machine import (
    Ask,
    Decision,
    Moved,
    Reply,
    Request,
    Reset,
    VsiMachine,
    VsiState,
    Withdraw,
    step,
)

A, B, C = [(Association(Command.ASSOCIATE, Vsi(bytes(16), n, 0, bytes(16)), ()),) for n in range(3)]


def run(state, *events):
    """Every output of (event, time) one after another."""
    found = []
    for event, now in events:
        state, outputs = send(state, event, now)
        found += outputs
    return state, found


# ---------------------------------------------------------------------- ECP


def test_one_at_a_time():
    state, found = run(
        EcpSender(1.0, 3), (Submit(A), 0), (Acknowledged(1), 0.1), (Submit(B), 0.1),
        (Acknowledged(2), 0.2),
    )  # fmt: skip
    assert found == [Transmit(1, A, 1), Delivered(1), Transmit(2, B, 1), Delivered(2)]
    state, _ = run(state, (Submit(A), 0.3))
    with pytest.raises(ValueError, match="ECPDU 3 is underway"):
        send(state, Submit(B), 0.4)


def test_retransmission():
    """As many copies as retries besides the first, an ackTimer apart."""
    passing = [(Passed(), n / 2) for n in range(1, 8)]
    state, found = run(EcpSender(1.0, 2), (Submit(A), 0), *passing)
    assert found == [Transmit(1, A, 1), Transmit(1, A, 2), Transmit(1, A, 3), GivenUp(1, A)]
    assert (state.errors, state.current) == (1, None)


@pytest.mark.parametrize("sequence", [0, 2, 0xFFFF])
def test_another_sequence_acknowledges_nothing(sequence):
    state, found = run(EcpSender(1.0, 3), (Submit(A), 0), (Acknowledged(sequence), 0))
    assert found == [Transmit(1, A, 1)]
    assert state.current == A


def test_sequence_is_never_0():
    _, found = run(EcpSender(1.0, 3, sequence=0xFFFF), (Submit(A), 0))
    assert found == [Transmit(1, A, 1)]


def test_reception_knows_copies_by_station_and_sequence():
    asked = [(b"a", 1), (b"a", 1), (b"a", 2), (b"b", 2), (b"a", 2), (b"a", 1)]
    state, found = EcpReceiver(), []
    for station, sequence in asked:
        state, new = receive(state, station, sequence)
        found.append(new)
    assert found == [True, False, True, True, True, True]


# ---------------------------------------------------------------------- VDP

VSI = Vsi(manager_of(1), 2, 3, bytes(16))
COMMANDS = {
    Command.PRE_ASSOCIATE: VsiState.PRE_ASSOCIATED,
    Command.PRE_ASSOCIATE_RR: VsiState.PRE_ASSOCIATED_RR,
    Command.ASSOCIATE: VsiState.ASSOCIATED,
}


def asks(command, vid=0):
    return Request(Association(command, VSI, (FilterInfo(vid, bytes(6)),)))


def machine_in(state):
    """A machine that has come to a state as it does: asked, and granted."""
    machine = VsiMachine(Dialect.RATIFIED, keepalive=20.0, resource_wait=10.0)
    for command, after in COMMANDS.items():
        if after is state:
            machine, _ = step(machine, asks(command), 0.0)
            machine, _ = step(machine, Decision(), 0.0)
    assert machine.state is state
    return machine


@pytest.mark.parametrize("before", list(VsiState))
@pytest.mark.parametrize("command", COMMANDS)
def test_every_request_in_every_state(before, command):
    """The same again is answered at once; anything else is asked about, then granted."""
    machine, outputs = step(machine_in(before), asks(command), 1.0)
    if COMMANDS[command] is before:
        [alive] = outputs
        assert isinstance(alive, Reply)
        assert alive.alive
        assert machine.deadline == 21.0
        return
    assert outputs == (Ask(asks(command).association),)
    assert (machine.state, machine.deadline) == (before, 11.0)
    machine, outputs = step(machine, Decision(), 2.0)
    assert outputs[1:] == (Moved(before, COMMANDS[command], "asked for"),)
    assert outputs[0].association.status.value == 0x40
    assert (machine.state, machine.deadline, machine.pending) == (COMMANDS[command], 22.0, None)


@pytest.mark.parametrize("before", list(VsiState))
@pytest.mark.parametrize("keep", [False, True])
def test_refused_in_every_state(before, keep):
    """What was associated stays so with the keep flag alone."""
    machine, _ = step(machine_in(before), asks(Command.ASSOCIATE, vid=5), 1.0)
    machine, outputs = step(machine, Decision(2, keep=keep), 1.0)
    stays = keep and before is VsiState.ASSOCIATED
    assert machine.state is (before if stays else VsiState.UNASSOCIATED)
    assert outputs[0].association.status.value == 0x42 | keep << 5
    assert bool(outputs[1:]) is (not stays and before is not VsiState.UNASSOCIATED)
    if stays:
        assert machine.granted.filters[0].vid == 0


@pytest.mark.parametrize("before", list(VsiState))
@pytest.mark.parametrize(
    ("event", "answers"),
    [(asks(Command.DE_ASSOCIATE), True), (Withdraw("so"), False), (Reset(), None)],
)
def test_leaving_every_state(before, event, answers):
    """Asked for: acknowledged. Withdrawn: a command of the bridge's. Reset: told to nobody."""
    machine, outputs = step(machine_in(before), event, 1.0)
    replies = [one.association for one in outputs if isinstance(one, Reply)]
    assert (machine.state, machine.deadline) == (VsiState.UNASSOCIATED, None)
    if answers is None or (not answers and before is VsiState.UNASSOCIATED):
        assert replies == []
    else:
        [reply] = replies
        assert (reply.command, reply.status.acknowledge) == (Command.DE_ASSOCIATE, answers)


def test_a_second_request_waits_for_the_first():
    machine, _ = step(machine_in(VsiState.UNASSOCIATED), asks(Command.ASSOCIATE), 0.0)
    assert step(machine, asks(Command.PRE_ASSOCIATE), 1.0) == (machine, ())
