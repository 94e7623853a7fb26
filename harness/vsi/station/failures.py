"""What a user of libvirt is told when an association fails, and where the cause is to be found.

As seen with libvirt 9.0 and lldpad 1.1. In patterns, LINK stands for the lower device.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.vsi.facts import Command, Dialect
from harness.vsi.faults import Fault, FaultKind
from harness.vsi.vdp_machine import VsiState

__all__ = ["FAILURES", "Failure", "markdown"]

_RATIFIED, _DRAFT = Dialect.RATIFIED, Dialect.DRAFT
_TIMED_OUT = "port-profile setlink timed out"
_NO_PORTS = "IFLA_VF_PORTS is missing"
_NOT_SENT = "sending of PortProfileRequest failed"
_LATE = Fault(FaultKind.LATE_ACK, seconds=0.25)
_RESET = Fault(FaultKind.RESET, Command.ASSOCIATE)
_WAIT = Fault(FaultKind.RESOURCE_WAIT)
_REFUSED = Fault(FaultKind.REFUSE, code=3)
_HARD = Fault(FaultKind.REFUSE, code=3, hard=True)
_WAITS = r"start ack timer for \S+ \[17,448960\]"
_EXIT = r"LINK state change VSI_ASSOC_PROCESSING -> VSI_EXIT"


@dataclass(frozen=True)
class Failure:
    """One way in which the start of a guest fails, or all but does.

    With `fault` at the switch libvirt says `said` (a pattern; empty: the guest starts), after
    `least` to `most` seconds, and its log has `logged`, lldpad's `lldpad`. The switch then has the
    VSI in `left`. `requests` are those that the switch hears.
    """

    dialect: Dialect
    fault: Fault
    said: str
    logged: str
    lldpad: str
    cause: str
    least: float = 0.0
    most: float = 6.0
    left: VsiState = VsiState.UNASSOCIATED
    requests: int = 1

    @property
    def name(self) -> str:
        """For a test: the dialect and what the switch does."""
        hard = "-hard" if self.fault.hard else ""
        return f"{self.dialect}-{self.fault.kind}{hard}"


FAILURES = (
    Failure(
        _RATIFIED,
        _REFUSED,
        r"error 3 during port-profile setlink on interface LINK \(\d+\): Invalid argument",
        r"error 3 during port-profile setlink on interface LINK",
        r"vdp22_bridge_info:LINK .* resp_ok:1 .* status:0x3 ",
        "the switch refuses, with that code",
    ),
    Failure(
        _RATIFIED,
        _HARD,
        r"error 19 during port-profile setlink on interface LINK \(\d+\): Invalid argument",
        r"error 19 during port-profile setlink on interface LINK",
        r"vdp22_bridge_info:LINK .* resp_ok:1 .* status:0x13 ",
        "the switch refuses, with that code and 16: asking again will not help",
    ),
    Failure(
        _RATIFIED,
        Fault(FaultKind.NO_ACK),
        _TIMED_OUT,
        _TIMED_OUT,
        r"ecp22_es_counterror:LINK errors 1",
        "the switch acknowledges no ECPDU",
        least=9.5,
        most=15.0,
        requests=4,
    ),
    Failure(
        _RATIFIED,
        Fault(FaultKind.NO_ANSWER),
        _TIMED_OUT,
        _TIMED_OUT,
        rf"vdp22st_start_acktimer:LINK {_WAITS}",
        "the switch acknowledges, and never answers; lldpad would wait for 17.4 s, libvirt waits "
        "for 10. Nobody de-associates what the switch may have granted",
        least=9.5,
        most=15.0,
        left=VsiState.ASSOCIATED,
    ),
    Failure(
        _RATIFIED,
        _RESET,
        _TIMED_OUT,
        _TIMED_OUT,
        rf"vdp22st_start_acktimer:LINK {_WAITS}",
        "the switch was reset before it had answered: lldpad does not ask again",
        least=9.5,
        most=15.0,
    ),
    Failure(
        _RATIFIED,
        _WAIT,
        _TIMED_OUT,
        _TIMED_OUT,
        rf"vdp22st_start_acktimer:LINK {_WAITS}",
        "the switch decides nothing within the resource wait delay, which by default (RWD 20, "
        "10.5 s) is longer than libvirt's 10 s",
        least=9.5,
        most=15.0,
    ),
    Failure(
        _RATIFIED,
        Fault(FaultKind.NO_EVB),
        _NOT_SENT,
        r"error during virtual port configuration of ifindex \d+: Protocol not supported",
        r"vdp22_request:LINK rc:-93",
        "the switch sends no EVB TLV",
        requests=0,
    ),
    Failure(
        _DRAFT,
        _REFUSED,
        r"error 3 during port-profile setlink on interface LINK \(\d+\): Invalid argument",
        r"error 3 during port-profile setlink on interface LINK",
        _EXIT,
        "the switch refuses, with that code",
    ),
    Failure(
        _DRAFT,
        Fault(FaultKind.NO_ACK),
        _NO_PORTS,
        _NO_PORTS,
        r"ecp_ack_timeout_handler:LINK ecp_ackTimer_expired",
        "the switch acknowledges no ECPDU",
        least=2.5,
        most=8.0,
        requests=2,
    ),
    Failure(
        _DRAFT,
        Fault(FaultKind.WRONG_SEQUENCE),
        "",
        "",
        r"ecp_tx_run_sm-LINK: ECP_TX_WAIT_FOR_ACK ackReceived seqECPDU 0x\w+ lastSequence",
        "the switch acknowledges another sequence; its answer tells lldpad all the same, which "
        "then waits for good: it sends nothing more, and does not de-associate",
        left=VsiState.ASSOCIATED,
    ),
    Failure(
        _DRAFT,
        Fault(FaultKind.NO_ANSWER),
        _NO_PORTS,
        _NO_PORTS,
        _EXIT,
        "the switch acknowledges, and never answers: after 3 s lldpad forgets the VSI. Nobody "
        "de-associates what the switch may have granted",
        least=2.5,
        most=8.0,
        left=VsiState.ASSOCIATED,
    ),
    Failure(
        _DRAFT,
        _RESET,
        _NO_PORTS,
        _NO_PORTS,
        _EXIT,
        "the switch was reset before it had answered",
        least=2.5,
        most=8.0,
    ),
    Failure(
        _DRAFT,
        _WAIT,
        _NO_PORTS,
        _NO_PORTS,
        _EXIT,
        "the switch takes longer than lldpad's 3 s to decide",
        least=2.5,
        most=8.0,
    ),
    Failure(
        _DRAFT,
        Fault(FaultKind.NO_EVB),
        _NOT_SENT,
        r"error during virtual port configuration of ifindex \d+: No such device or address",
        r"vdp_request: LINK has not yet been configured",
        "the switch sends no EVB TLV",
        requests=0,
    ),
    Failure(
        _RATIFIED,
        Fault(FaultKind.WRONG_SEQUENCE),
        "",
        "",
        r"ecp22_es_counterror:LINK errors 1",
        "the switch acknowledges another sequence; its answer tells lldpad all the same",
        left=VsiState.ASSOCIATED,
        requests=4,
    ),
    *(
        Failure(dialect, fault, "", "", "", cause, left=VsiState.ASSOCIATED)
        for dialect in Dialect
        for fault, cause in (
            (_LATE, "the switch acknowledges late: lldpad asks again, which changes nothing"),
            (Fault(FaultKind.DUPLICATE), "the switch says everything twice"),
        )
    ),
)
"""In each dialect."""

_WORDS = {
    FaultKind.REFUSE: "refuses",
    FaultKind.NO_ACK: "does not acknowledge",
    FaultKind.NO_ANSWER: "does not answer",
    FaultKind.RESET: "is reset",
    FaultKind.RESOURCE_WAIT: "does not decide",
    FaultKind.NO_EVB: "sends no EVB TLV",
    FaultKind.WRONG_SEQUENCE: "acknowledges another sequence",
    FaultKind.LATE_ACK: "acknowledges late",
    FaultKind.DUPLICATE: "says everything twice",
}


def markdown(failures: Iterable[Failure] = FAILURES) -> str:
    """The table of docs/vsi.md."""
    head = (
        "| dialect | the switch | the user is told | after | libvirt's log | lldpad's log | cause |"
    )
    rows = [head, "|---" * 7 + "|"]
    for one in sorted(failures, key=lambda x: (x.dialect is Dialect.DRAFT, not x.said)):
        cells = (
            one.dialect,
            _WORDS[one.fault.kind] + " for good" * one.fault.hard,
            _shown(one.said) or "(it starts)",
            f"{one.least + 0.5:.0f} s" if one.least else "at once" if one.said else "",
            _shown(one.logged),
            _shown(one.lldpad),
            one.cause,
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _shown(pattern: str) -> str:
    """A pattern as the words that it stands for."""
    for part, words in ((r"\S+", "…"), (r"\w+", "…"), (".*", "…"), (r"\d+", "N"), ("\\", "")):
        pattern = pattern.replace(part, words)
    return f"`{pattern.strip()}`" if pattern else ""
