"""What is read out of a kernel's log: each kind of complaint, where it struck, where it ends."""

import pytest

from harness.machines.oops import Kind, troubles_in

PANIC = """\
[    4.298912] sysrq: Trigger a crash
[    4.299077] Kernel panic - not syncing: sysrq triggered crash
[    4.299404] CPU: 0 UID: 0 PID: 80 Comm: sh Not tainted 6.12.95+deb12-amd64 #1
[    4.300170] Hardware name: QEMU Standard PC
[    4.300603] Call Trace:
[    4.300870]  <TASK>
[    4.301070]  panic+0x33a/0x34b
[    4.301570]  sysrq_handle_crash+0x1a/0x20
[    4.301780]  __handle_sysrq.cold+0xa0/0x14d
[    4.302000]  write_sysrq_trigger+0x28/0x40
[    4.367372]  </TASK>
[    4.368088] Kernel Offset: disabled
"""
WARNING = """\
------------[ cut here ]------------
WARNING: CPU: 1 PID: 312 at net/core/dev.c:3301 skb_warn_bad_offload+0xc0/0xd0
Modules linked in: macvtap macvlan tap veth bridge stp llc
CPU: 1 PID: 312 Comm: python Tainted: G        W          6.1.0-56-amd64 #1
RIP: 0010:skb_warn_bad_offload+0xc0/0xd0
Call Trace:
 <TASK>
 __skb_gso_segment+0x131/0x180
---[ end trace 0000000000000000 ]---
[ 1001.000000] usb 1-1: not of it
"""
OOPS = """\
<1>[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000010
<1>[   12.345679] #PF: supervisor read access in kernel mode
<6>[   12.345680] PGD 0 P4D 0
<4>[   12.345681] Oops: 0000 [#1] PREEMPT SMP NOPTI
<4>[   12.345682] CPU: 0 PID: 99 Comm: ip Not tainted 6.12.0 #1
<4>[   12.345683] RIP: 0010:macvlan_common_newlink+0x45/0x6d0 [macvlan]
<4>[   12.345684] Call Trace:
<4>[   12.345685]  <TASK>
<4>[   12.345686]  macvtap_newlink+0x70/0xd0 [macvtap]
<4>[   12.345687] ---[ end trace 0000000000000000 ]---
<0>[   12.345688] Kernel panic - not syncing: Fatal exception in interrupt
"""
LOCKDEP = """\
[   33.1] ======================================================
[   33.1] WARNING: possible circular locking dependency detected
[   33.1] 6.12.0-debug #1 Not tainted
[   33.1] ------------------------------------------------------
[   33.1] ip/1234 is trying to acquire lock:
[   33.1] ffff88800c0d2cd8 (rtnl_mutex){+.+.}-{3:3}, at: macvtap_open+0x1a/0x90
"""
KASAN = """\
==================================================================
BUG: KASAN: slab-use-after-free in macvlan_process_broadcast+0x3a2/0x4f0 [macvlan]
Read of size 8 at addr ffff888009a3c018 by task kworker/0:1/10
Call Trace:
 <TASK>
 dump_stack_lvl+0x64/0x80
 print_report+0xce/0x670
==================================================================
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(PANIC, [(Kind.PANIC, "sysrq_handle_crash")], id="panic"),
        pytest.param(
            WARNING, [(Kind.WARNING, "net/core/dev.c:3301 skb_warn_bad_offload")], id="warning"
        ),
        pytest.param(
            OOPS, [(Kind.OOPS, "macvlan_common_newlink"), (Kind.PANIC, "")], id="oops-then-panic"
        ),
        pytest.param(LOCKDEP, [(Kind.LOCKDEP, "")], id="lockdep"),
        pytest.param(KASAN, [(Kind.KASAN, "macvlan_process_broadcast")], id="kasan"),
    ],
)
def test_a_report(text, found):
    troubles = troubles_in(text)
    assert [(x.kind, x.where) for x in troubles] == found
    assert all(len(x.lines) <= 12 and x.lines[0] == x.says for x in troubles)


@pytest.mark.parametrize(
    ("line", "kind", "where"),
    [
        ("WARNING: possible recursive locking detected", Kind.LOCKDEP, ""),
        ("WARNING: inconsistent lock state", Kind.LOCKDEP, ""),
        ("WARNING: possible irq lock inversion dependency detected", Kind.LOCKDEP, ""),
        ("WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected", Kind.LOCKDEP, ""),
        ("WARNING: bad unlock balance detected!", Kind.LOCKDEP, ""),
        ("WARNING: lock held when returning to user space!", Kind.LOCKDEP, ""),
        ("[ BUG: Invalid wait context ]", Kind.LOCKDEP, ""),
        ("INFO: trying to register non-static key.", Kind.LOCKDEP, ""),
        ("WARNING: suspicious RCU usage", Kind.RCU, ""),
        (
            "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:585",
            Kind.ATOMIC,
            "kernel/locking/mutex.c:585",
        ),
        ("BUG: scheduling while atomic: ip/123/0x00000002", Kind.ATOMIC, ""),
        ("kernel BUG at net/core/skbuff.c:112!", Kind.BUG, "net/core/skbuff.c:112"),
        ("BUG: Bad page state in process ip  pfn:0a3c0", Kind.BUG, ""),
        (
            "general protection fault, probably for non-canonical address 0xdead000000000122: 0000",
            Kind.OOPS,
            "",
        ),
        ("Internal error: Oops: 0000000096000004 [#1] PREEMPT SMP", Kind.OOPS, ""),
        (
            "WARNING: net/core/dev.c:3301 at skb_warn+0xc0/0xd0, CPU#1: ip/3",
            Kind.WARNING,
            "net/core/dev.c:3301 skb_warn",
        ),
        ("BUG: KFENCE: use-after-free read in tap_do_read+0x1/0x2", Kind.KFENCE, "tap_do_read"),
        ("BUG: KCSAN: data-race in tun_get_user / tun_do_read", Kind.KCSAN, "tun_get_user"),
        (
            "UBSAN: array-index-out-of-bounds in drivers/net/tap.c:12:3",
            Kind.UBSAN,
            "drivers/net/tap.c:12:3",
        ),
        (
            "INFO: task kworker/0:1:10 blocked for more than 120 seconds.",
            Kind.HUNG,
            "kworker/0:1:10",
        ),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [ip:77]", Kind.LOCKUP, ""),
        ("rcu: INFO: rcu_preempt self-detected stall on CPU", Kind.STALL, ""),
        ("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", Kind.STALL, ""),
        (
            "unregister_netdevice: waiting for lower to become free. Usage count = 2",
            Kind.LEAK,
            "lower",
        ),
    ],
)
@pytest.mark.parametrize("stamp", ["", "[   12.345678] ", "<4>[   12.345678][  T123] "])
def test_a_first_line(stamp, line, kind, where):
    (trouble,) = troubles_in(stamp + line)
    assert (trouble.kind, trouble.where, trouble.says) == (kind, where, line)


@pytest.mark.parametrize(
    "line",
    [
        "[    0.028000] tsc: Unable to calibrate against PIT",
        "[    0.844317] acpi PNP0A03:00: fail to add MMCONFIG information",
        "[    1.0] macvlan: unknown parameter 'warning' ignored",
        "[    1.0] lower: entered promiscuous mode",
        "[    1.0] Warning: unable to open an initial console.",
        "hairpin: virtiofs.ko is not loaded",
    ],
)
def test_what_is_no_complaint(line):
    assert troubles_in(line) == ()


def test_two_behind_each_other():
    """Each has its own lines, and what stands between them belongs to neither."""
    first, second = troubles_in(WARNING + KASAN)
    assert (first.lines[-1], second.lines[0][:11]) == (
        " __skb_gso_segment+0x131/0x180",
        "BUG: KASAN:",
    )


def test_as_a_sentence():
    (trouble,) = troubles_in(PANIC)
    assert str(trouble) == (
        "panic at sysrq_handle_crash: Kernel panic - not syncing: sysrq triggered crash"
    )
