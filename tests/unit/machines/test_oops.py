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
# The forms of these are those of public reports (lore.kernel.org, syzbot), shortened.
LOCKDEP = """\
[94106.109810] ======================================================
[94106.109811] WARNING: possible circular locking dependency detected
[94106.109814] 5.18.0-rc3-debug #11 Tainted: G        W
[94106.109816] ------------------------------------------------------
[94106.109816] ip/875 is trying to acquire lock:
[94106.109818] ffff888148cb8198 (&vlan->mutex){+.+.}-{3:3}, at: macvlan_set_mode+0x33/0xd0 [macvlan]
[94106.109838]
               but task is already holding lock:
[94106.109839] ffff888148cb2988 (rtnl_mutex){+.+.}-{3:3}, at: rtnetlink_rcv_msg+0x14c/0x170
[94106.109898]
               which lock already depends on the new lock.

[94106.109899]
               the existing dependency chain (in reverse order) is:
[94106.109900]
               -> #1 (rtnl_mutex){+.+.}-{3:3}:
[94106.109903]        __mutex_lock_common+0xab/0xde0
[94106.109906]        mutex_lock_nested+0x1c/0x30
"""
IRQ = """\
[  201.5][T4155] ================================
[  201.5][T4155] WARNING: inconsistent lock state
[  201.5][T4155] 6.12.0-debug #1 Not tainted
[  201.5][T4155] --------------------------------
[  201.5][T4155] inconsistent {SOFTIRQ-ON-W} -> {IN-SOFTIRQ-W} usage.
[  201.5][T4155] ksoftirqd/0/15 [HC0[0]:SC1[1]:HE1:SE0] takes:
[  201.5][T4155] ffff88801b2 (&port->bc_queue.lock){+.?.}-{2:2}, at: macvlan_handle_frame+0x9c/0xb30
[  201.5][T4155] {SOFTIRQ-ON-W} state was registered at:
[  201.5][T4155]   lock_acquire+0x1ae/0x510
"""
RCU = """\
[   71.0] =============================
[   71.0] WARNING: suspicious RCU usage
[   71.0] 6.9.0-rc1 #5 Not tainted
[   71.0] -----------------------------
[   71.0] drivers/net/macvlan.c:82 suspicious rcu_dereference_check() usage!
[   71.0]
[   71.0] other info that might help us debug this:
"""
ATOMIC = """\
[   64.2] BUG: scheduling while atomic: ip/875/0x00000002
[   64.2] 1 lock held by ip/875:
[   64.2]  #0: ffff888148cb2988 (rtnl_mutex){+.+.}-{3:3}, at: rtnetlink_rcv_msg+0x14c/0x170
[   64.2] Call Trace:
[   64.2]  <TASK>
[   64.2]  dump_stack_lvl+0x73/0xa0
[   64.2]  __schedule_bug+0x7a/0x90
"""
KASAN = """\
==================================================================
BUG: KASAN: slab-use-after-free in macvlan_process_broadcast+0x3a2/0x4f0 [macvlan]
Read of size 8 at addr ffff888009a3c018 by task kworker/0:1/10

CPU: 2 UID: 0 PID: 10 Comm: kworker/0:1 Tainted: G        W   6.18.14+ #23 PREEMPT(full)
Tainted: [W]=WARN
Hardware name: QEMU Standard PC (i440FX + PIIX, 1996)
Workqueue: events macvlan_process_broadcast [macvlan]
Call Trace:
 <TASK>
 dump_stack_lvl+0x73/0xa0
 print_report+0xce/0x620
 ? __virt_addr_valid+0x205/0x3f0
 kasan_report+0xc6/0xf0
 </TASK>

Allocated by task 129:
 kasan_save_stack+0x30/0x50
Freed by task 0:
 kmem_cache_free+0x157/0x3c0
==================================================================
Disabling lock debugging due to kernel taint
"""
KASAN_NULL = """\
Oops: general protection fault, probably for non-canonical address 0xdffffc00: 0000 [#1] SMP KASAN
KASAN: null-ptr-deref in range [0x0000000000000000-0x0000000000000007]
CPU: 0 UID: 0 PID: 5896 Comm: ip Not tainted 6.14.0 #0 PREEMPT(full)
RIP: 0010:tap_do_read+0x30b/0x3e0 [tap]
"""
UBSAN = """\
[   12.0] ------------[ cut here ]------------
[   12.0] UBSAN: array-index-out-of-bounds in drivers/net/tap.c:412:20
[   12.0] index 256 is out of range for type 'tap_queue *[256]'
[   12.0] Call Trace:
[   12.0]  dump_stack_lvl+0x48/0x70
[   12.0]  ubsan_epilogue+0x9/0x40
[   12.0] ---[ end trace ]---
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
        pytest.param(LOCKDEP, [(Kind.LOCKDEP, "macvlan_set_mode")], id="lockdep"),
        pytest.param(IRQ, [(Kind.LOCKDEP, "macvlan_handle_frame")], id="lockdep-softirq"),
        pytest.param(RCU, [(Kind.RCU, "drivers/net/macvlan.c:82")], id="lockdep-rcu"),
        pytest.param(ATOMIC, [(Kind.ATOMIC, "__schedule_bug")], id="atomic-with-a-lock"),
        pytest.param(KASAN_NULL, [(Kind.OOPS, "tap_do_read")], id="kasan-null"),
        pytest.param(UBSAN, [(Kind.UBSAN, "drivers/net/tap.c:412:20")], id="ubsan"),
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


def test_locks_are_named():
    """What lockdep says below its line is of it: who wants which lock while holding which."""
    (trouble,) = troubles_in(LOCKDEP)
    wanted = [line.strip() for line in trouble.lines]
    assert "ip/875 is trying to acquire lock:" in wanted
    assert "but task is already holding lock:" in wanted
    assert any("(rtnl_mutex)" in line for line in wanted)
