"""The agent in this process, its client at the other end of a socket pair.

client ──── socket pair ──── agent (a thread)
"""

import signal
import socket
import threading
import time

import pytest

from harness.errors import GuestError
from harness.guests.tiny import wire
from harness.guests.tiny.agent import Agent as Inside
from harness.guests.tiny.channel import Channel
from harness.guests.tiny.client import Agent, _hello

SESSION = b"another."


@pytest.fixture
def pair():
    """A socket to an agent that serves until it is closed."""
    ours, its = socket.socketpair()
    its.setblocking(False)
    thread = threading.Thread(target=Inside(its.fileno()).serve)
    thread.start()
    with ours, its:
        yield ours
        ours.close()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def agent(pair):
    channel = Channel("tiny", pair)
    return Agent(channel, _hello(channel.greet(within=5)))


def test_hello(agent):
    """It says who it is, and what its cards are."""
    assert agent.hello.version == wire.VERSION
    assert agent.hello.uptime > 0
    assert [x.index for x in agent.nics()] == sorted(x.index for x in agent.nics())
    assert agent.hello.commands == agent.hello.captures == agent.hello.ports == ()


def test_run(agent):
    """A command's status, and what it wrote to which output, whatever bytes it is."""
    done = agent.run(["sh", "-c", r"printf '\300\333'; echo err >&2; exit 3"])
    assert (done.status, done.stdout, done.stderr) == (3, b"\xc0\xdb", b"err\n")
    assert not done.ok


def test_run_for_too_long(agent):
    """It is killed, with what it has started, and what it wrote is there."""
    done = agent.run(["sh", "-c", "echo begun; sleep 60 & wait"], seconds=0.3)
    assert (done.status, done.stdout, done.timed_out) == (-signal.SIGKILL, b"begun\n", True)


def test_no_such_program(agent):
    with pytest.raises(GuestError, match="run: nosuch: No such file") as caught:
        agent.run(["nosuch"])
    assert caught.value.errno == 2
    assert not caught.value.lost


def test_in_the_background(agent):
    """A command goes on between requests, and is there after a new greeting."""
    with agent.start(["sh", "-c", "echo begun; exec sleep 60"]) as command:
        assert agent.renew(within=5).commands == (command.number,)
        done = command.stop(seconds=0.2)
        assert (done.status, done.stdout) == (-signal.SIGTERM, b"begun\n")
    assert agent.renew(within=5).commands == ()
    with pytest.raises(GuestError, match="no command"):
        command.stop()


@pytest.mark.parametrize("echo", [False, True], ids=["digest", "echo"])
@pytest.mark.parametrize("size", [0, 1, 3_000_001])
def test_transfer(agent, size, echo):
    """All that is sent arrives, as it was."""
    with agent.listen(address="127.0.0.1", echo=echo) as listener:
        done = agent.transfer("127.0.0.1", listener.port, size, echo=echo)
        assert (done.ok, done.reason, done.sent) == (True, "", size)
    refused = agent.transfer("127.0.0.1", listener.port, 10)
    assert (refused.ok, refused.reason) == (False, "Connection refused")


def test_transfer_to_a_liar(agent):
    """What comes back wrong is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def lie():
            client, _ = server.accept()
            with client:
                while client.recv(1000):
                    pass
                client.sendall(b"y" * 10)

        thread = threading.Thread(target=lie)
        thread.start()
        done = agent.transfer("127.0.0.1", server.getsockname()[1], 10, echo=True)
        thread.join()
    assert (done.ok, done.reason) == (False, "the data came changed")


@pytest.mark.parametrize(
    ("request_name", "fields", "why"),
    [
        ("dance", {}, "no such request: dance"),
        ("run", {}, "KeyError: 'argv'"),
        ("run", {"argv": [], "seconds": 1}, "no program is named"),
        ("read", {"capture": 7, "count": 1, "tail": b"", "seconds": 1}, "no capture 7 is open"),
        ("change", {"nic": "nosuch0"}, "no network card nosuch0"),
        ("deafen", {"port": 1}, "port 1 is not listened on"),
    ],
)
def test_refused(agent, request_name, fields, why):
    """A request that is wrong is refused with the reason, and the agent goes on."""
    with pytest.raises(GuestError, match=why):
        agent.ask(request_name, **fields)
    assert agent.run(["true"]).ok


def test_no_answer(agent):
    """Who waits in vain is told, and the late answer is not taken for the next one's."""
    with pytest.raises(GuestError, match="no answer"):
        agent.ask("run", within=0.2, argv=["sleep", "0.6"], seconds=5)
    assert agent.run(["sh", "-c", "echo next"]).stdout == b"next\n"


def test_from_threads(agent):
    """Several threads may ask; each gets its own answer."""
    found = {}

    def ask(word):
        found[word] = agent.run(["echo", word]).stdout

    threads = [threading.Thread(target=ask, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {str(i): f"{i}\n".encode() for i in range(8)}


def test_taken_over(pair, agent):
    """A new host greets in the middle of another's message, while its request is under way."""
    begun = wire.Message(
        agent._channel._session, 99, "run", {"argv": ["sleep", "60"], "seconds": 60}
    )
    pair.setblocking(True)
    pair.sendall(wire.encode(begun) + wire.encode(begun)[:40])
    stale = wire.Message(SESSION, 1, "run", {"argv": ["true"], "seconds": 1})
    pair.sendall(wire.encode(stale))  # a session that nobody has greeted with: not answered
    taken = Agent(Channel("tiny", pair), agent.hello)
    before = time.monotonic()
    assert taken.renew(within=5).commands == ()
    assert taken.run(["echo", "new"]).stdout == b"new\n"
    assert time.monotonic() - before < 5


def test_lost():
    """A guest that goes away is said to be lost, at once and ever after."""
    ours, its = socket.socketpair()
    with ours, its:
        channel = Channel("tiny", ours)
        its.close()
        for request in ("hello", "ping"):
            with pytest.raises(GuestError, match=f"{request}: the connection is lost") as caught:
                channel.ask(request, within=5)
            assert caught.value.lost


def test_nobody_listens(tmp_path):
    """No socket, and one behind which nobody answers, are two things; long paths are none."""
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    with pytest.raises(GuestError, match="No such file"):
        Agent.connect(folder / "agent", within=0.1)
    with socket.socket(socket.AF_UNIX) as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        server.bind("agent")
        server.listen()
        with pytest.raises(GuestError, match="hello: no answer"):
            Agent.connect(folder / "agent", within=0.2)
