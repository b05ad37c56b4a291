#!/bin/bash
# Unpacks the .debs of FOLDER into a fresh one, builds the service of asio_service/ against nothing but
# what they hold, runs and signals it, and reads its dump with the unpacked command.
#
# Usage: deb_consumer.sh FOLDER_WITH_DEBS
set -euo pipefail
debs=$(realpath "$1")
here=$(dirname "$(realpath "$0")")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in libcorodump0 libcorodump-dev corodump; do
    dpkg -x "$debs/${package}"_*.deb "$work/root"
done
root=$work/root/usr

# A copy, so that no path leads back into this tree.
cp -r "$here/asio_service" "$work/service"
cmake -S "$work/service" -B "$work/build" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DCMAKE_PREFIX_PATH="$root" -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF >"$work/configure.log"
grep -q "corodump_DIR:PATH=$root/" "$work/build/CMakeCache.txt" ||
    { echo "deb_consumer: found another corodump than the unpacked one" >&2; exit 1; }
cmake --build "$work/build"

library=$(ldd "$work/build/service" | sed -n 's/.*libcorodump\.so\.0 => \([^ ]*\).*/\1/p')
[[ $library == "$root"/* ]] ||
    { echo "deb_consumer: the service loads '$library'" >&2; exit 1; }
"$here/signal_and_show.sh" "$work/build/service" "$root/bin/corodump"
