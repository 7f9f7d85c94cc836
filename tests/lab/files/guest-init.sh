#!/bin/busybox sh
# First process of both guests. Without labroot= on the kernel's command line this RAM disk is the whole system (tiny).
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/lib/modules/$module" 2>/dev/null; done < /lib/modules/order

root=$(sed -n 's/.*labroot=\([^ ]*\).*/\1/p' /proc/cmdline)
if [ -n "$root" ]; then
    for try in $(seq 50); do device=$(findfs "$root" 2>/dev/null) && break; sleep 0.1; done
    mount -t ext4 -o rw "$device" /mnt && umount /proc && umount /sys && exec switch_root /mnt /sbin/init
fi

mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
ip link set lo up
/bin/lab-address tiny
dropbear -s
echo "LAB-GUEST-UP $(cat /proc/uptime)" > /dev/console
# The ACPI power button (virsh shutdown) without acpid: wait for any event of its input device.
for input in /sys/class/input/event*; do
    grep -q Power "$input/device/name" || continue
    ( head -c 24 "/dev/input/${input##*/}" > /dev/null; poweroff -f ) &
done
while :; do setsid cttyhack sh < /dev/ttyS0 > /dev/ttyS0 2>&1; sleep 1; done
