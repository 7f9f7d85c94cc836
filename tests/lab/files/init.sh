#!/bin/sh
# init.sh HOST-FOLDER ROOT NAME
# First process of a host, already in its namespaces: lays out the file systems and becomes systemd.
set -eu
folder=$1 root=$2 name=$3
r=$folder/rootfs
mount --make-rprivate /
mkdir -p "$folder/work" "$r"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$folder/upper,workdir=$folder/work" "$r"
mount --bind "$folder/ceph" "$r/var/lib/ceph"      # BlueStore wants a real file system

mount -t proc -o nosuid,noexec,nodev proc "$r/proc"
# what would reach the whole machine
if [ -e "$r/proc/sysrq-trigger" ]; then
    : > "$folder/sysrq-trigger"
    mount --bind "$folder/sysrq-trigger" "$r/proc/sysrq-trigger"
fi
for settings in kernel vm; do
    mount --bind "$r/proc/sys/$settings" "$r/proc/sys/$settings"
    mount -o remount,bind,ro "$r/proc/sys/$settings"
done
mount -t sysfs -o nosuid,noexec,nodev sysfs "$r/sys"
mount -t cgroup2 -o nosuid,noexec,nodev cgroup2 "$r/sys/fs/cgroup"

mount -t tmpfs -o mode=755,size=16m tmpfs "$r/dev"
mkdir -p "$r/dev/pts" "$r/dev/shm" "$r/dev/mqueue" "$r/dev/net" "$r/dev/hugepages"
while read -r device major minor; do
    mknod -m 666 "$r/dev/$device" c "$major" "$minor"
done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
net/tun 10 200
fuse 10 229
END
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$r/dev/pts"
ln -s pts/ptmx "$r/dev/ptmx"
ln -s /proc/self/fd "$r/dev/fd"
ln -s fd/0 "$r/dev/stdin"
ln -s fd/1 "$r/dev/stdout"
ln -s fd/2 "$r/dev/stderr"
for sink in console kmsg; do
    : > "$r/dev/$sink"
    mount --bind "$r/dev/null" "$r/dev/$sink"
done
mount -t tmpfs -o nosuid,nodev,mode=1777,size=4g tmpfs "$r/dev/shm"
mount -t tmpfs -o nosuid,nodev,mode=755,size=2g tmpfs "$r/run"
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$r/tmp"
mkdir -p "$r/run/lock"

hostname "$name"
cd "$r"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec env -i container=lab TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio --inh-caps=-all /lib/systemd/systemd --system
