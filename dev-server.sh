#!/usr/bin/env bash
# Starts a development server with sample data, and prints a signed-in link once it answers.
#
#   ./dev-server.sh                     on http://127.0.0.1:8001
#   PORT=9000 ./dev-server.sh           on another port
#   ./dev-server.sh my.db --reload      more arguments go to `datasette serve`
#
# Needs python3 with venv and pip; everything else is installed into .uv/ and .venv/ of this folder.
# The data is in .dev/: delete that folder to start afresh. Ctrl-C ends the server.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if [ ! -x "$here/.uv/bin/uv" ]; then
    echo "Installing the tools into .uv/ and .venv/ (once) …" >&2
    python3 -m venv "$here/.uv"
    "$here/.uv/bin/pip" install --quiet uv
fi
"$here/.uv/bin/uv" sync --quiet --project "$here"
"$here/.venv/bin/python" "$here/fixtures/sample_site.py" "$here/.dev"

# Datasette prints the link before it listens, and the server logs after it; a link that is shown
# last, when it works already, saves the newcomer a search and a failed click.
link_last() {
    trap '' INT # Ctrl-C is for the server, whose last words are still shown
    local line link=""
    while IFS= read -r line; do
        case "$line" in
            http*/-/auth-token*) link="$line" ;;
            *"Uvicorn running on"*) printf '%s\n\nSigned in as root:\n%s\n' "$line" "$link" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done
}

exec 3> >(link_last)
filter=$!
"$here/.venv/bin/datasette" serve "$here/.dev/sample.db" \
    --config "$here/.dev/datasette.yaml" --internal "$here/.dev/internal.db" \
    --root --port "${PORT:-8001}" "$@" <&0 >&3 2>&1 &
server=$!
exec 3>&-

# Ctrl-C is how a development server is meant to end, so it is a success.
ended=""
trap 'ended=1; kill -TERM "$server" 2>/dev/null || true' INT TERM
status=0
wait "$server" || status=$?
if [ -n "$ended" ]; then
    wait "$server" || true # the signal cut the first wait short
    status=0
fi
wait "$filter" 2>/dev/null || true
exit "$status"
