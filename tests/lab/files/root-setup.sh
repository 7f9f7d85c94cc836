# Runs inside the new root, once: what is the same on every host of every lab.
set -eu

# Units that make no sense in a namespace, or that would change settings of the whole machine.
# sbd is not among them: masked, it stops corosync and pacemaker. It is disabled below.
for unit in \
    systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service \
    systemd-sysctl.service systemd-modules-load.service modprobe@.service kmod-static-nodes.service \
    systemd-timesyncd.service systemd-random-seed.service systemd-hwdb-update.service systemd-pstore.service \
    systemd-networkd-wait-online.service systemd-resolved.service systemd-binfmt.service \
    proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    dev-hugepages.mount getty@tty1.service console-getty.service \
    e2scrub_all.timer fstrim.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    lvm2-monitor.service lvm2-lvmpolld.socket blk-availability.service dm-event.socket nvmf-autoconnect.service \
    libvirt-guests.service corosync-notifyd.service rsync.service
do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
systemctl set-default multi-user.target
# started when their configuration is there
systemctl disable sbd corosync pacemaker pcsd pcsd-ruby ceph.target libvirtd.service || true
sed -i 's/^#\?Storage=.*/Storage=volatile/' /etc/systemd/journald.conf

# No cgroup controllers, no security module and no KVM in here: QEMU runs as root, without any of them.
cat >> /etc/libvirt/qemu.conf <<'END'
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
dynamic_ownership = 0
remember_owner = 0
stdio_handler = "logd"
END
# All hosts see the same firmware tables; libvirt refuses to migrate between hosts of one UUID.
cat >> /etc/libvirt/libvirtd.conf <<'END'
auth_unix_rw = "none"
host_uuid_source = "machine-id"
END
rm -f /etc/libvirt/qemu/networks/autostart/default.xml

# The accounts of a SEAPATH host: the one that administers, the one that migrates.
useradd --create-home --shell /bin/bash ansible
useradd --create-home --shell /bin/bash --groups libvirt libvirtadmin
echo 'hacluster:lab' | chpasswd

# Each host gets keys and an identity of its own.
rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id
ln -s /etc/machine-id /var/lib/dbus/machine-id
: > /etc/resolv.conf
rm -rf /var/cache/apt/archives/*.deb
