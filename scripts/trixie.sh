# A Debian trixie in build/trixie, in which scripts/free-threaded and scripts/other-pythons run tests. Both source this
# file in the root of the project, as root. A later run continues with what an earlier one has made, about 3 GB.
trixie=$PWD/build/trixie
root=$trixie/root
log=$trixie/log
mkdir -p "$trixie"

# Runs a function unless an earlier run did. Shows its output only if it fails.
step() {
    stamp=$trixie/done-$1
    [ ! -e "$stamp" ] || return 0
    echo "$2 ..." >&2
    "$1" >"$log" 2>&1 </dev/null || { tail -n 40 "$log" >&2; echo "ERROR: failed: $2; see $log" >&2; exit 1; }
    touch "$stamp"
}

# In a mount namespace of its own: the mounts disappear with the last process. pivot_root makes the folder the root of
# that namespace. In a mere chroot, the kernel permits no further namespaces, which some tests need.
inside() {
    unshare --mount --fork sh -ec 'mount --bind "$0" "$0"
        mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; mount --rbind /sys "$0/sys"
        cd "$0"; mkdir -p old; pivot_root . old; umount --lazy old
        exec chroot . env DEBIAN_FRONTEND=noninteractive HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' \
        "$root" "$@"
}

debian() {
    command -v debootstrap >/dev/null || { apt-get update -q; apt-get install -y -q debootstrap; }
    rm -rf "$root"
    debootstrap --variant=minbase --include=ca-certificates trixie "$root" ${MIRROR:-}
    # The same package sources as outside.
    cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
    [ ! -e /root/.config/pip ] || { mkdir -p "$root/root/.config" && cp -R /root/.config/pip "$root/root/.config/"; }
    sed -n 's/^deb /deb-src /p' "$root/etc/apt/sources.list" >"$root/etc/apt/sources.list.d/source.list"
    # Packages must not start their services.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    inside apt-get update -q
    inside apt-get install -y -q --no-install-recommends git valkey-server $(grep -v '^#' scripts/apt-packages.txt)
    inside systemd-machine-id-setup
}

make_trixie() {
    [ "$(id -u)" = 0 ] || { echo "ERROR: $0 needs root, for debootstrap and chroot" >&2; exit 1; }
    step debian "Making a Debian trixie in $root"
}

# Copies the project, but for what was built in it, into a folder. The virtual environment in it remains.
copy() {
    mkdir -p "$1"
    find "$1" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
    git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --create | tar -x -C "$1"
}
