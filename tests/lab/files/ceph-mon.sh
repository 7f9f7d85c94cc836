# ceph-mon.sh NAME FSID HOST=ADDRESS...   Runs inside a host: makes and starts its monitor and its manager.
set -eu
name=$1 fsid=$2
shift 2
map=/var/lib/ceph/tmp/monmap
# turns each HOST=ADDRESS into the two words that monmaptool wants
for peer in "$@"; do
    address=${peer#*=}
    set -- "$@" --addv "${peer%%=*}" "[v2:$address:3300,v1:$address:6789]"
    shift
done
monmaptool --create --clobber --fsid "$fsid" "$@" "$map"
chown ceph:ceph "$map"
setpriv --reuid ceph --regid ceph --clear-groups \
    ceph-mon --mkfs -i "$name" --monmap "$map" --keyring /var/lib/ceph/tmp/mon.keyring
systemctl enable -q "ceph-mon@$name" "ceph-mgr@$name" ceph.target ceph-mon.target ceph-mgr.target ceph-osd.target
systemctl start "ceph-mon@$name" "ceph-mgr@$name"
