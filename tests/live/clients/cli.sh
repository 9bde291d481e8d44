#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs Fastly's official command-line tool, from npm, with purgeline instead of Fastly. Only the export line
# of the README tells it to use purgeline.
#
#     cli.sh NODE_MODULES http://127.0.0.1:8126 SERVICE TOKEN FOLDER        all commands but purge-all
#     cli.sh NODE_MODULES http://127.0.0.1:8126 SERVICE TOKEN FOLDER all    purge-all, which replaces all
#                                                                           purges that still wait
set -euo pipefail

fastly=$1/@fastly/cli-linux-x64/fastly
line=$(grep -m 1 '^export FASTLY_API_ENDPOINT=' "$(dirname "$0")/../../../README.md")
eval "${line//http:\/\/127.0.0.1:8126/$2}"
export FASTLY_API_TOKEN=$4
service=$3
export HOME=$5 XDG_CONFIG_HOME=$5
# The tool looks for newer releases of itself. These variables prevent that.
export HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1
cd "$HOME"

# says TEXT COMMAND...: checks that the command succeeds and that its output contains TEXT.
says() {
    local text=$1 out
    shift
    out=$("$@" 2>&1) || { echo "failed: $* : $out" >&2; exit 1; }
    [[ $out == *"$text"* ]] || { echo "no '$text' from $*: $out" >&2; exit 1; }
}

if [ "${6-}" = all ]; then
    says 'Purge all status: ok' "$fastly" service purge --all --service-id "$service"
    exit 0
fi

for i in $(seq 256); do printf 'line-%0250d\n' "$i"; done >keys

says 'Purged key: blog/2024?a#b' "$fastly" service purge --key 'blog/2024?a#b' --service-id "$service"
says 'Purged key: by-name' "$fastly" service purge --key by-name --soft --service-name news
says 'Purged key: older' "$fastly" purge --key older --service-id "$service"
says "line-$(printf %0250d 256)" "$fastly" service purge --file keys --service-id "$service"
says 'Status: ok' "$fastly" service purge --url 'https://www.example.com/a//b?x=1' --service-id "$service"

says "$service" "$fastly" service list
says "ID: $service" "$fastly" service search --name news
says "ID: $service" "$fastly" service describe --service-id "$service"
says 'cms <cms>' "$fastly" whoami
says '192.0.2.0/24' "$fastly" ip-list
if "$fastly" service purge --key x --service-name nobody >refused 2>&1; then
    echo "an unknown service was purged" >&2
    exit 1
fi
