#!/bin/busybox sh
# First in the machine: loads what the root is shared by, puts a tmpfs over it, and moves there.
# The status port (3) is told how that went: "up SECONDS" or "unfit WHY".
# shellcheck shell=dash disable=SC1091,SC2034,SC2086,SC2154 # settings are made with the initramfs
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in $($b cat /modules/order); do
    $b insmod /modules/$module || echo "hairpin: $module is not loaded"
done
. /settings

unfit() {
    echo "hairpin: $*"
    [ -z "$status" ] || echo "unfit $*" >&3
    $b poweroff -f
}

# A port is there some time after its driver: until the host has told of it.
port() {
    for try in $($b seq 500); do
        for name in /sys/class/virtio-ports/*/name; do
            if [ -r "$name" ] && [ "$($b cat "$name")" = "$1" ]; then
                name=${name%/name}
                found=/dev/${name##*/}
                [ -c "$found" ] && return
            fi
        done
        $b usleep 10000
    done
    unfit "there is no virtio-serial port $1"
}

status=
port hairpin.status
exec 3>"$found"
status=$found

nine=trans=virtio,version=9p2000.L,msize=512000
share() { # tag place how
    case $share in
    virtiofs) $b mount -t virtiofs -o "$3" "$1" "$2" ;;
    9p) $b mount -t 9p -o "$3,$4,$nine" "$1" "$2" ;;
    esac
}

share root /lower ro cache=loose || unfit "the host's root cannot be mounted over $share"
$b mount -t tmpfs -o size=75% tmpfs /upper
$b mkdir /upper/files /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root ||
    unfit "there is no overlay file system"
n=/root
for folder in proc sys dev run; do [ -d $n/$folder ] || $b mkdir -p $n/$folder; done
for folder in proc sys dev; do $b mount --move /$folder $n/$folder; done
$b mount -t tmpfs -o mode=755 tmpfs $n/run
$b mkdir -p $n/run/lock $n/run/hairpin/bin $n/dev/pts $n/dev/shm
$b mount -t devpts -o ptmxmode=666 devpts $n/dev/pts
$b mount -t tmpfs -o mode=1777 tmpfs $n/dev/shm
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
    $b ln -sf /proc/self/${link#*:} $n/dev/${link%%:*}
done
$b mount -t tracefs tracefs $n/sys/kernel/tracing 2>/dev/null
$b mount -t debugfs debugfs $n/sys/kernel/debug 2>/dev/null
$b mount -t bpf bpf $n/sys/fs/bpf 2>/dev/null
$b mount -t cgroup2 cgroup2 $n/sys/fs/cgroup 2>/dev/null

# Named as on the host, so that what is said of it is true there, too.
$b mkdir -p "$n$output"
share output "$n$output" rw cache=none || unfit "the folder for results cannot be mounted over $share"

release=$($b uname -r)
if [ -n "$modules" ]; then
    $b mkdir -p $n/lib/modules/"$release"
    $b mount --bind "$n$modules" $n/lib/modules/"$release"
    # Nodes whose opening loads their module (/dev/net/tun), which udev would have made.
    while read -r module node numbers; do
        if [ "${module#"#"}" = "$module" ] && ! [ -e "$n/dev/$node" ]; then
            kind=${numbers%%[0-9]*}
            numbers=${numbers#"$kind"}
            $b mkdir -p "$n/dev/$($b dirname "$node")"
            $b mknod "$n/dev/$node" "$kind" "${numbers%:*}" "${numbers#*:}"
        fi
    done 2>/dev/null <"$n$modules/modules.devname"
fi
$b cp $b /command /stage2.sh $n/run/hairpin/
for tool in modprobe insmod rmmod lsmod; do $b ln -s ../busybox $n/run/hairpin/bin/$tool; done
# busybox's unpacks neither .zst nor what is signed; the host's own can. It is looked for from within,
# as it may be a link from the root on (/bin/kmod).
$b chroot $n /run/hairpin/busybox test -x /sbin/modprobe ||
    echo /run/hairpin/bin/modprobe >$n/proc/sys/kernel/modprobe
$b hostname hairpin
$b ip link set lo up
echo "<4>$mark" >$n/dev/kmsg
read -r uptime rest <$n/proc/uptime
echo "up $uptime" >&3
# Not chroot: the kernel's helpers (modprobe) would be looked for in the old root.
exec $b switch_root $n /run/hairpin/busybox sh /run/hairpin/stage2.sh
