"""vm-mgr: highly available virtual machines on Pacemaker, Ceph and libvirt sites, managed over SSH."""
