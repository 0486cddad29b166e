#!/bin/busybox sh
# The guest's first process. The kernel starts it with an empty environment, in a file system of three programs.
/bin/busybox mkdir -p /dev /proc /run /sys /tmp
/bin/busybox --install -s /bin
export PATH=/bin INJECTOR_BIN=/bin/injector RUST_BACKTRACE=0
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
injector doctor
guest
poweroff -f
