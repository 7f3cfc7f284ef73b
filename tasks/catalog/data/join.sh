#!/bin/sh
# Joins the parts of @FILE@ into one file and checks it.
# It needs the parts beside itself, and as much free space as they have together.
set -eu
cd "$(dirname "$0")"

file='@FILE@'
sha256='@SHA256@'
parts='@PARTS@'

trap 'rm -f "$file.joining"' EXIT
trap 'exit 130' INT TERM
: > "$file.joining"
for part in $parts; do
    cat "$file.$part" >> "$file.joining"
done
if ! echo "$sha256  $file.joining" | sha256sum -c - > /dev/null; then
    echo "$file: the parts are not the right ones, or not complete." >&2
    echo "See which: sha256sum -c --ignore-missing SHA256SUMS" >&2
    exit 1
fi
chmod +x "$file.joining"
mv "$file.joining" "$file"
echo "$file is complete."
