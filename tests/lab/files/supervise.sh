#!/bin/sh
# supervise.sh FIRMWARE-SECONDS CGROUP NETNS INIT-SCRIPT HOST-FOLDER ROOT NAME
# One host's power supply: runs its systemd as first process of new namespaces, in the cgroup folder CGROUP/inside.
# The kernel ends the first process with SIGHUP for a reboot, which starts the host again, and with SIGINT for a poweroff.
# Whoever cuts the power kills the whole of CGROUP, this script with it.
set -u
firmware=$1 cgroup=$2 netns=$3
shift 3
echo $$ > "$cgroup/cgroup.procs" || exit 1
sleep "$firmware"
while :; do
    for try in 1 2 3 4 5; do
        [ -d "$cgroup/inside" ] || break
        find "$cgroup/inside" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
    mkdir -p "$cgroup/inside"
    sh -c 'echo $$ > "$1/inside/cgroup.procs"
           netns=$2; shift 2
           exec nsenter --net="/run/netns/$netns" \
               unshare --mount --uts --ipc --pid --cgroup --fork -- sh "$@"' sh "$cgroup" "$netns" "$@"
    code=$?
    echo "supervise: first process ended with $code"
    [ "$code" = 129 ] || exit 0
done
