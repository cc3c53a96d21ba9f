#!/usr/bin/env bash
# Starts a development server with sample data, and prints a signed-in link once it answers.
#
#   ./dev-server.sh                     on http://127.0.0.1:8001
#   PORT=9000 ./dev-server.sh           on another port
#   ./dev-server.sh my.db --reload      more arguments go to `datasette serve`
#
# Beside a source on disk it has one on S3, by a small server in memory that forgets at the end.
#
#   ./dev-server.sh --s3 seaweedfs      another that keeps its data, if `weed` is installed
#   ./dev-server.sh --s3 minio          the same, if `minio` is
#   ./dev-server.sh --s3 URL            one that runs: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
#                                       S3_BUCKET are its keys and bucket
#   ./dev-server.sh --s3 none           no S3
#
# Needs python3 with venv and pip; everything else is installed into .uv/ and .venv/ of this folder.
# The data is in .dev/: delete that folder to start afresh. Ctrl-C ends the server.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

s3=moto
serve=()
while [ $# -gt 0 ]; do
    case "$1" in
        --s3) s3="${2:?--s3 takes seaweedfs, minio, none, or a URL}" && shift ;;
        --s3=*) s3="${1#--s3=}" ;;
        *) serve+=("$1") ;;
    esac
    shift
done
port="${PORT:-8001}"

if [ ! -x "$here/.uv/bin/uv" ]; then
    echo "Installing the tools into .uv/ and .venv/ (once) …" >&2
    python3 -m venv "$here/.uv"
    "$here/.uv/bin/pip" install --quiet uv
fi
"$here/.uv/bin/uv" sync --quiet --project "$here"

# It says by s3.json that it is ready; a running one needs no process.
store=""
end_store() {
    [ -z "$store" ] || kill -TERM "$store" 2>/dev/null || true
    [ -z "$store" ] || wait "$store" 2>/dev/null || true
}
trap end_store EXIT
rm -f "$here/.dev/s3.json"
if [ "$s3" != none ]; then
    "$here/.venv/bin/python" "$here/fixtures/s3_server.py" "$s3" "$here/.dev" "$port" &
    store=$!
    until [ -e "$here/.dev/s3.json" ]; do
        sleep 0.1
        kill -0 "$store" 2>/dev/null || [ -e "$here/.dev/s3.json" ] || exit 1 # it said why
    done
fi
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

# Whoever is signed in stays so over a restart.
if [ -z "${DATASETTE_SECRET:-}" ]; then
    secret="$here/.dev/secret"
    [ -s "$secret" ] || (umask 077 && python3 -c 'import secrets; print(secrets.token_hex(32))' >"$secret")
    DATASETTE_SECRET="$(cat "$secret")"
    export DATASETTE_SECRET
fi

exec 3> >(link_last)
filter=$!
"$here/.venv/bin/datasette" serve "$here/.dev/sample.db" \
    --config "$here/.dev/datasette.yaml" --internal "$here/.dev/internal.db" \
    --root --port "$port" ${serve[@]+"${serve[@]}"} <&0 >&3 2>&1 &
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
