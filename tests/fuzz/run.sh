#!/bin/bash
# Runs one fuzz target over its corpus, and then for a while: CORODUMP_FUZZ_SECONDS, or 4 seconds.
#
#   run.sh TARGET BUILD_FOLDER CORPUS_FOLDER [LIBFUZZER_OPTION | SEED_FILE]...
#
# What a long run finds stays in BUILD_FOLDER/found/<target> and is where the next one begins; a short
# one begins with the corpus of the tree each time. An input that fails is kept in
# BUILD_FOLDER/failed, its name is in the output.
set -euo pipefail

target=$1 build=$2 corpus=$3
shift 3
name=$(basename "$target")

options=() seeds=()
for argument in "$@"; do
    if [[ $argument == -* ]]; then options+=("$argument"); else seeds+=("$argument"); fi
done

mkdir -p "$build/failed"
scratch=$(mktemp -d "$build/fuzz-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/seeds" "$scratch/found"
((${#seeds[@]} == 0)) || ln -s "${seeds[@]}" "$scratch/seeds"

found=$scratch/found
if [[ -n ${CORODUMP_FUZZ_SECONDS:-} ]]; then
    found=$build/found/$name
    mkdir -p "$found"
fi

"$target" -max_total_time="${CORODUMP_FUZZ_SECONDS:-4}" -timeout=2 -rss_limit_mb=1024 -verbosity=1 \
    -print_final_stats=1 -artifact_prefix="$build/failed/$name-" "${options[@]}" "$found" "$corpus" \
    "$scratch/seeds" >"$scratch/log" 2>&1 || {
    status=$?
    grep --text --invert-match '^#[0-9].*\(NEW\|REDUCE\|pulse\)' "$scratch/log"
    exit "$status"
}
statistic() {
    sed -n "s/^stat::$1: *//p" "$scratch/log"
}
coverage=$(grep --text --only-matching 'cov: .* corp: [^ ]*' "$scratch/log" | tail -1)
printf '%-16s %9d inputs, slowest %d s; %s\n' "$name" "$(statistic number_of_executed_units)" \
    "$(statistic slowest_unit_time_sec)" "$coverage"
