# Runs inside the Debian guest's tree, once.
set -eu
install -d -m 700 /root/.ssh
echo debian > /etc/hostname
echo '127.0.0.1 localhost' > /etc/hosts
echo 'LABEL=labroot / ext4 rw,noatime 0 0' > /etc/fstab
echo 'root:lab' | chpasswd
: > /etc/machine-id

cat > /etc/systemd/system/lab-address.service <<'END'
[Unit]
Description=Address from the MAC
DefaultDependencies=no
After=local-fs.target systemd-remount-fs.service
Before=network.target network-online.target ssh.service
Wants=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /usr/local/sbin/lab-address guest
[Install]
WantedBy=multi-user.target
END
cat > /etc/systemd/system/lab-up.service <<'END'
[Unit]
After=ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo LAB-GUEST-UP $(cat /proc/uptime) > /dev/console'
[Install]
WantedBy=multi-user.target
END
systemctl enable -q lab-address lab-up ssh
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    systemd-timesyncd.service systemd-pstore.service dpkg-db-backup.timer systemd-hwdb-update.service
do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /boot/initrd* /usr/share/doc /usr/share/man /usr/share/locale
