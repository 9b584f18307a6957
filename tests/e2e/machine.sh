#!/bin/bash
# Boots a real systemd as PID 1 of namespaces of its own, over an overlay of a root folder: nothing it does outlives it.
# `machine.sh FOLDER ROOT` prints systemd's pid on the outside. Needs root; tests/e2e/machine.py runs it.
set -eu

# Everything below happens in the new namespaces, as their first process, which becomes systemd.
inside() {
    local root=$FOLDER/root file
    mkdir -p "$root" "$FOLDER/layers"
    mount -t tmpfs tmpfs "$FOLDER/layers"
    mkdir "$FOLDER/layers/upper" "$FOLDER/layers/work"
    mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$FOLDER/layers/upper,workdir=$FOLDER/layers/work" "$root"

    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    if [ -n "$CONTROLLERS" ]; then # controllers of cgroup v1 beside an empty v2: then limits are enforced there
        mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
        mkdir "$root/sys/fs/cgroup/unified"
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
        for name in $CONTROLLERS; do
            mkdir "$root/sys/fs/cgroup/$name"
            [ "$name" = systemd ] && options=none,name=systemd,xattr || options=$name
            mount -t cgroup -o "$options" cgroup "$root/sys/fs/cgroup/$name"
        done
    else
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    fi

    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mkdir "$root/run/changes" # what differs from ROOT, for tests that look at what is left behind
    mount --bind "$FOLDER/layers/upper" "$root/run/changes"
    mount -t tmpfs tmpfs "$root/tmp"
    chmod 1777 "$root/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for file in null zero full random urandom tty; do
        touch "$root/dev/$file"
        mount --bind "/dev/$file" "$root/dev/$file"
    done
    mkdir "$root/dev/shm" "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for file in stdin stdout stderr; do
        ln -s "/proc/self/fd/$((n++))" "$root/dev/$file"
    done
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    ip link set lo up # the only network there is

    # As if the program had never been here, and packages may start services.
    rm -rf "$root"/etc/spoton-edge "$root"/var/cache/spoton-edge "$root"/var/lib/spoton-edge "$root/usr/sbin/policy-rc.d"
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    local units=$root/etc/systemd/system
    mkdir -p "$units"
    rm -rf "$units"/*.wants
    for unit in apparmor console-getty kmod-static-nodes ldconfig systemd-binfmt systemd-boot-system-token \
        systemd-firstboot systemd-hwdb-update systemd-journal-catalog-update systemd-machine-id-commit \
        systemd-modules-load systemd-networkd systemd-pcrphase-sysinit systemd-random-seed systemd-remount-fs \
        systemd-resolved systemd-sysctl systemd-sysusers systemd-timesyncd systemd-tmpfiles-setup-dev \
        systemd-udev-trigger systemd-udevd systemd-update-done systemd-update-utmp; do
        ln -sf /dev/null "$units/$unit.service"
    done
    cat >"$units/test.target" <<'TARGET'
[Unit]
Description=What a service needs, and no more
Requires=sysinit.target systemd-journald.service dbus.socket
After=sysinit.target systemd-journald.service dbus.socket
AllowIsolate=yes
TARGET
    printf '[Journal]\nStorage=volatile\nForwardToConsole=no\nRateLimitBurst=0\n' >"$root/etc/systemd/journald.conf"

    mkdir -p "$root/old"
    cd "$root"
    mount --make-rprivate /
    pivot_root . old
    umount -l /old
    rmdir /old
    mount --make-rshared / # as a booted system has it: credentials are mounted from a namespace of their own
    exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        /lib/systemd/systemd --unit=test.target --log-target=journal --show-status=0
}

n=0
if [ "${1:-}" = inside ]; then
    inside
fi

FOLDER=$1 ROOT=$2 CONTROLLERS=
mkdir -p "$FOLDER"
# A cgroup below our own, in each hierarchy: our limits hold for the machine too, and it is the root in its namespace.
own() { awk -F: -v hierarchy="$1" '$2 == hierarchy {print $3; exit}' /proc/self/cgroup; }
mounted() { awk -v type="$1" -v name="${2:-}" '$3 == type && (name == "" || $2 ~ "/" name "$") {print $2; exit}' /proc/mounts; }
below() { local path=$1$2; echo "${path%/}/spoton-test-$$"; }
v2=$(mounted cgroup2)
[ -n "$v2" ] || { echo "no cgroup2 is mounted" >&2; exit 1; }
groups=$(below "$v2" "$(own '')")
for name in systemd memory pids cpu cpuacct blkio devices freezer; do
    folder=$(mounted cgroup "$name")
    [ -n "$folder" ] || continue
    [ "$name" = systemd ] && hierarchy=name=systemd || hierarchy=$name
    groups="$groups $(below "$folder" "$(own "$hierarchy")")"
    CONTROLLERS="$CONTROLLERS $name"
done
# shellcheck disable=SC2086
mkdir -p $groups
echo "$groups" >"$FOLDER/cgroups"

export FOLDER ROOT CONTROLLERS
# shellcheck disable=SC2016
setsid bash -c '
    for group in $0; do echo $BASHPID >"$group/cgroup.procs"; done
    exec unshare --pid --fork --kill-child --mount --propagation private --uts --ipc --cgroup --net "$1" inside
' "$groups" "$(realpath "$0")" >"$FOLDER/console.log" 2>&1 </dev/null &

set -- $groups
for _ in $(seq 200); do
    for pid in $(cat "$1/cgroup.procs" "$1/init.scope/cgroup.procs" 2>/dev/null); do
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd ] && grep -qE '^NSpid:.*\s1$' "/proc/$pid/status"; then
            echo "$pid"
            exit 0
        fi
    done
    sleep 0.05
done
cat "$FOLDER/console.log" >&2
exit 1
