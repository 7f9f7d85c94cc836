#!/bin/sh
# lab-address STEM: gives the first network card the address that its MAC spells, 52:54:00:B:C:D -> 10.B.C.D/24,
# and the guest the name STEM followed by D.
for card in /sys/class/net/e*; do
    IFS=: read -r _ _ _ b c d < "$card/address"
    ip link set "${card##*/}" up
    ip addr add "10.$((0x$b)).$((0x$c)).$((0x$d))/24" dev "${card##*/}"
    hostname "$1$((0x$d))"
    if [ -w /etc/hosts ]; then echo "127.0.0.1 localhost $1$((0x$d))" > /etc/hosts; fi
    break
done
