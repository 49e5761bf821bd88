#!/usr/bin/env bash
# Proves the README's two commands on a bare Debian 12: a debootstrap minbase root, a clone of HEAD, `scripts/run` with
# text produced and consumed by kcat before and after a restart, then `scripts/test` with small numbers.
#   tests/bare.sh            all of it (root, network to the host's mirror, 6 GB in $TMPDIR or /var/tmp, half an hour)
#   tests/bare.sh --setup    the root, the packages and the build only
#   tests/bare.sh --run      all but scripts/test
#   tests/bare.sh --tests REGEX   the root, the packages, the release build and those of its tests
# Mirror and proxy are those of the host's apt. Everything runs in its own mount and process namespace: when this
# script ends, however it ends, its processes and mounts are gone, and then its folder.
set -euo pipefail

only=${1:-all}
tests=${2:-}
if [[ ${PENSTOCK_BARE_INSIDE:-no} == no ]]; then
  ((EUID == 0)) || { echo "tests/bare.sh: needs root (debootstrap, chroot)" >&2; exit 1; }
  command -v debootstrap >/dev/null || { echo "tests/bare.sh: debootstrap is missing; run scripts/setup" >&2; exit 1; }
  repository=$(cd "$(dirname "$0")/.." && pwd)
  bare=$(mktemp -d "${TMPDIR:-/var/tmp}/penstock-bare.XXXXXX")
  chmod 755 "$bare"  # apt fetches as a user of its own
  trap 'rm -rf --one-file-system "$bare"' EXIT
  trap 'exit 130' INT TERM
  PENSTOCK_BARE_INSIDE=yes unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
    timeout --kill-after=30 7200 "$0" "$only" "$tests" "$repository" "$bare"
  exit
fi

repository=$3
bare=$4
run_log=$bare/run.log
started=$SECONDS
say() { printf '== bare: %s (%d s)\n' "$1" $((SECONDS - started)); }
inside() { chroot "$bare" /usr/bin/env -i "${environment[@]}" "$@" </dev/null; }

# What a user's shell there would have, with the host's way to the network.
environment=(HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive)
while IFS= read -r line; do
  environment+=("$line")
done < <(env | grep -iE -e '^(https?|ftp|no)_proxy=' \
  -e '^(npm_config_|PIP_|SSL_CERT_|NODE_EXTRA_CA_CERTS|GOPROXY=|GOSUMDB=)' || true)

make_root() {
  local suite mirror
  suite=bookworm
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
    awk -v suite="$suite" '$2 == suite { print $1; exit }')
  [[ -n $mirror ]] || { echo "tests/bare.sh: the host's apt has no source for $suite" >&2; exit 1; }
  mount --bind "$bare" "$bare"  # a root that is no mount point lets no test make a mount namespace of its own
  say "debootstrap $suite from the host's mirror"
  debootstrap --variant=minbase "$suite" "$bare" "$mirror" >"$bare.log" 2>&1 || { tail -n 20 "$bare.log"; exit 1; }
  rm -f "$bare.log"
  mount -t proc proc "$bare/proc"
  mount --rbind /dev "$bare/dev"
  mount -t sysfs -o ro sysfs "$bare/sys"
  mount -t tmpfs tmpfs "$bare/run"
}

# The host's sources, keys, proxies and certificates; none of its pins and hooks.
copy_network_settings() {
  rm -f "$bare/etc/apt/sources.list"
  cp -a /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/trusted.gpg.d /etc/apt/auth.conf.d "$bare/etc/apt/" \
    2>/dev/null || true
  local file
  for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
    if [[ -f $file ]] && grep -qE '^ *Acquire' "$file" && ! grep -q Invoke "$file"; then
      cp "$file" "$bare/etc/apt/apt.conf.d/"
    fi
  done
  cp -L /etc/resolv.conf /etc/hosts "$bare/etc/"
  mkdir -p "$bare/usr/local/share/ca-certificates"
  cp -a /usr/local/share/ca-certificates/. "$bare/usr/local/share/ca-certificates/" 2>/dev/null || true
  for file in /etc/npmrc /etc/pip.conf; do
    [[ ! -f $file ]] || cp "$file" "$bare/etc/"
  done
}

give_up() {
  echo "tests/bare.sh: the broker $1; its last lines:" >&2
  tail -n 40 "$run_log" >&2
  exit 1
}

wait_until_ready() {
  local deadline=$((SECONDS + $1))
  until grep -q '^ready' "$run_log"; do
    kill -0 "$broker" 2>/dev/null || give_up "ended before it was ready"
    ((SECONDS < deadline)) || give_up "was not ready in $1 s"
    sleep 0.5
  done
}

# start SECONDS: scripts/run as the README gives it. stop: SIGTERM, and it must leave cleanly.
start() {
  : >"$run_log"
  (exec chroot "$bare" /usr/bin/env -i "${environment[@]}" bash -c 'cd /penstock && exec scripts/run') \
    </dev/null >"$run_log" 2>&1 &
  broker=$!
  wait_until_ready "$1"
}
stop() {
  kill -TERM "$broker"
  wait "$broker" || give_up "did not leave cleanly"
}

round_trip() {
  say "scripts/run: setup, build, serve"
  start 1800
  say "a record there and back with kcat"
  inside sh -c 'apt-get -q -y install --no-install-recommends kcat >/dev/null'
  inside sh -c 'seq 1 100000 | sed "s/^/line /" >/tmp/in && kcat -P -b 127.0.0.1:9092 -t bare /tmp/in -l'
  consume_and_compare
  stop
  say "again after a restart"
  start 300
  consume_and_compare
  stop
}
consume_and_compare() {
  inside timeout 120 sh -c 'kcat -C -b 127.0.0.1:9092 -t bare -e -q >/tmp/out && cmp /tmp/in /tmp/out'
}

make_root
copy_network_settings
say "clone"
git clone --quiet --no-hardlinks "$repository" "$bare/penstock"
if [[ $only == --setup ]]; then
  say "setup and build of the program"
  inside bash -c 'cd /penstock && scripts/setup build && scripts/setup build &&
    cmake --preset release -DPENSTOCK_TESTS=OFF && cmake --build --preset release'
  say "passed: setup and build"
  exit
fi
if [[ $only == --tests ]]; then
  say "setup, and build of release"
  inside bash -c 'cd /penstock && scripts/setup build && scripts/setup && cmake --preset release &&
    cmake --build --preset release'
  say "tests $tests"
  inside bash -c 'cd /penstock && ctest --test-dir build/release --output-on-failure -R "$0"' "$tests"
  say "passed"
  exit
fi
round_trip
if [[ $only == --run ]]; then
  say "passed: scripts/run"
  exit
fi
say "scripts/test"
environment+=(PENSTOCK_SIM_SEEDS=20 PENSTOCK_KILL_ROUNDS=1 PENSTOCK_FUZZ_SECONDS=2)
inside bash -c 'cd /penstock && scripts/test' | tee "$bare/test.log"
skipped=$(sed -nE 's/^[[:space:]]*[0-9]+ - (.+) \(Skipped\)$/\1/p' "$bare/test.log" | sort -u | paste -sd ' ')
say "passed${skipped:+, but skipped: $skipped}"
