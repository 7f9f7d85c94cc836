# ceph-osd.sh NUMBER   Runs inside a hypervisor: makes and starts its OSD, on a sparse file.
set -eu
number=$1
folder=/var/lib/ceph/osd/ceph-$number
uuid=$(cat /proc/sys/kernel/random/uuid)
secret=$(ceph-authtool --gen-print-key)
install -d -o ceph -g ceph "$folder"
echo "{\"cephx_secret\": \"$secret\"}" | ceph osd new "$uuid" "$number" -i -
ceph-authtool --create-keyring "$folder/keyring" --name "osd.$number" --add-key "$secret"
chown ceph:ceph "$folder/keyring"
ceph-osd -i "$number" --mkfs --osd-uuid "$uuid" --setuser ceph --setgroup ceph
systemctl enable -q "ceph-osd@$number"
systemctl start "ceph-osd@$number"
