#!/usr/bin/env bash
# Run every benchmark that has a main, one after the other, and print its tables. Exit code 1 if one failed.
set -uo pipefail

cd "$(dirname "$0")/.."
python="${1:-.venv/bin/python}"
failed=0
for file in benchmarks/*.py; do
    grep -q '^if __name__ == "__main__":' "$file" || continue
    printf '\n## %s\n\n' "$file"
    "$python" "$file" || { echo "error: $file failed"; failed=1; }
done
exit "$failed"
