#!/bin/bash
# Process 1 of the guest (scripts/appliance-vm): file systems, limits, and then whatever the host asks for by the second
# serial line, a bash line each, answered with its output and its exit code. Nothing of the machine is prepared here:
# the host does that with the commands of docs/deploy/bare_metal.md, as an administrator would.
set -u
export PATH=/appliance:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8

for mounted in "proc proc /proc" "sysfs sysfs /sys" "devtmpfs dev /dev" "tmpfs run /run" "tmpfs tmp /tmp"; do
  set -- $mounted
  mountpoint -q "$3" || mount -t "$1" "$2" "$3"
done
ip link set lo up
ulimit -l unlimited  # as a systemd unit's LimitMEMLOCK and LimitNOFILE
ulimit -n 65536
# No udev runs here that would load what the machine has.
modprobe nvme

line=/dev/ttyS1
stty raw -echo <"$line"
exec 3<>"$line"
printf 'guest up %s\n' "$(cut -d ' ' -f 1 /proc/uptime)" >&3
while IFS= read -r -u 3 asked; do
  bash -c "$asked" </dev/null >&3 2>&1 3>&-
  printf '\nexit code %d\n' $? >&3
done
