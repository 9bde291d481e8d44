#!/bin/bash
# SPDX-License-Identifier: MIT
# Tests the sandbox from outside: its answers, its real purges, its faults and its log. All other live
# tests rely on it.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
passed=0 failed=0

sandbox() { local command=$1; shift; "$root/deploy/sandbox/sandbox" "$command" --dir "$dir" "$@"; }
trap 'sandbox down >/dev/null 2>&1; rm -rf "$dir"' EXIT

for tool in nginx varnishd curl jq openssl nghttp; do
    PATH=$PATH:/usr/sbin command -v $tool >/dev/null ||
        { echo "skip - $tool is not installed"; echo "0 passed, 0 failed"; exit 77; }
done

# Results ----------------------------------------------------------------------------------------

ok() { passed=$((passed + 1)); echo "ok - $1"; }
not_ok() { failed=$((failed + 1)); printf 'not ok - %s\n' "$1"; shift; printf '#   %s\n' "$@"; }
is() { if [ "$1" = "$2" ]; then ok "$3"; else not_ok "$3" "got:  $1" "want: $2"; fi; }
like() { if [[ $1 =~ $2 ]]; then ok "$3"; else not_ok "$3" "got:  $1" "want: $2"; fi; }
unlike() { if [[ $1 =~ $2 ]]; then not_ok "$3" "got:  $1" "without: $2"; else ok "$3"; fi; }
json() { jq -r "$2" <<<"$1" 2>&1; }

# Requests ---------------------------------------------------------------------------------------

# api [curl args…] PATH: sets $status, $headers (names in lower case), $body, $rc.
api() {
    local args=("$@") path
    path=${args[-1]}
    unset 'args[-1]'
    ask --cacert "$SANDBOX_CA" -H "Fastly-Key: $SANDBOX_TOKEN" "${args[@]}" "$SANDBOX_API$path"
}

ask() {
    : >"$dir/answer"
    : >"$dir/headers"
    status=$(curl -s --max-time 10 --path-as-is -D "$dir/headers" -o "$dir/answer" \
        -w '%{http_code}' "$@")
    rc=$?
    body=$(cat "$dir/answer")
    headers=$(tr -d '\r' <"$dir/headers" | sed 's/^[^: ]*:/\L&/')
}

header() { sed -n "s/^$1: //p" <<<"$headers"; }
purge() { api -X POST "$@"; }                           # purge [curl args…] PATH
keys_purge() { purge -H "Surrogate-Key: $1" "/service/$id/purge"; }
fault() { sandbox fault "$@" >/dev/null; }
fresh_start() { sandbox reset >/dev/null; }
last_log() { tail -n 1 "$SANDBOX_LOG"; }
log_field() { json "$(last_log)" "$1"; }

# page PATH [curl args…]: fetches a page of the site, and sets $version, $cache and $headers.
page() {
    local path=$1
    shift
    ask "$@" "$SANDBOX_SITE$path"
    version=$(sed -n 's/^version //p' <<<"$body")
    cache=$(header x-cache)
}

# settles SENTENCE COMMAND…: repeats the command until it succeeds, because background work has no event to await.
settles() {
    local what=$1 until=$((SECONDS + 5))
    shift
    until "$@"; do
        [ $SECONDS -lt $until ] || { not_ok "$what" "never: $*"; return; }
        sleep 0.02
    done
    ok "$what"
}

words() { local i; for ((i = 1; i <= $1; i++)); do printf '%s%d ' "$2" "$i"; done; }
repeat() { printf "%*s" "$2" '' | tr ' ' "$1"; }

# Starting ---------------------------------------------------------------------------------------

is "$(sandbox status >/dev/null; echo $?)" 3 "status tells that nothing runs yet"
printed=$(sandbox up --service SVC1 --service SVC2 --token right-token) || {
    echo "not ok - up"; echo "$passed passed, $((failed + 1)) failed"; exit 1; }
. "$dir/env"
id=$SANDBOX_SERVICE
is "$printed" "$(cat "$dir/env")" "up prints what it writes into env"
is "$id $SANDBOX_SERVICES $SANDBOX_TOKEN" "SVC1 SVC1 SVC2 right-token" \
    "env names the services and the token"
is "$(sandbox up 2>/dev/null; echo $?)" "$printed
0" "a second up changes nothing and is fine"
is "$(sandbox status >/dev/null; echo $?)" 0 "status tells that it runs"
is "$(wc -l <"$SANDBOX_LOG")" 0 "starting leaves no line in the log"

other=$(mktemp -d)
"$root/deploy/sandbox/sandbox" up --dir "$other" --api-address 127.0.0.2 >/dev/null
is "$? $(grep -o '^SANDBOX_API=.https://[0-9.]*' "$other/env")" "0 SANDBOX_API='https://127.0.0.2" \
    "--api-address: its API has another address, and a certificate for it"
is "$("$root/deploy/sandbox/sandbox" down --dir "$other"; echo $?)" 0 "two sandboxes run side by side"
rm -rf "$other"

# TLS and protocols --------------------------------------------------------------------------------

api /tokens/self
is "$status $(log_field .proto)" "200 HTTP/2.0" "HTTP/2 is negotiated"
api --http1.1 /tokens/self
is "$status $(log_field .proto)" "200 HTTP/1.1" "HTTP/1.1 is served as well"
api --tlsv1.3 /tokens/self;         is "$status" 200 "TLS 1.3 is spoken"
api --tls-max 1.2 /tokens/self;     is "$status" 200 "TLS 1.2 is spoken"
api --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 /tokens/self
is "$rc $status" "35 000" "TLS 1.1 is not"
ask "$SANDBOX_API/tokens/self";     is "$rc" 60 "without its CA the certificate is not trusted"
for name in localhost api.fastly.com; do
    port=${SANDBOX_API##*:}
    ask --cacert "$SANDBOX_CA" --connect-to "$name:$port:127.0.0.1:$port" \
        -H "Fastly-Key: right-token" "https://$name:$port/tokens/self"
    is "$rc $status" "0 200" "the certificate is good for $name"
done

# Authentication -----------------------------------------------------------------------------------

msg='{"msg":"Provided credentials are missing or invalid"}'
ask --cacert "$SANDBOX_CA" -X POST -H 'Surrogate-Key: a' "$SANDBOX_API/service/$id/purge"
is "$status $body" "401 $msg" "no token: 401 with Fastly's words"
is "$(log_field '[.kind,.status,.cost,.purged]|tostring')" '["keys",401,1,false]' \
    "a 401 is logged, with what it would have cost"
ask --cacert "$SANDBOX_CA" -H 'Fastly-Key: wrong' "$SANDBOX_API/tokens/self"
is "$status $body" "401 $msg" "a wrong token: 401"
ask --cacert "$SANDBOX_CA" -H 'X-Fastly-Key: right-token' "$SANDBOX_API/tokens/self"
is "$status" 200 "the old X-Fastly-Key is accepted"
purge -H 'Surrogate-Key: a' /service/NOPE/purge
is "$status $body" '404 {"detail":"Cannot find service","msg":"Record not found"}' \
    "an unknown service: 404 with Fastly's words"
is "$(log_field '[.service,.status]|tostring')" '["NOPE",404]' "a 404 is logged"
purge -H 'Surrogate-Key: a' /service/SVC2/purge;    is "$status" 200 "the second service is known"

# Other endpoints -----------------------------------------------------------------------------------

api /tokens/self
is "$(json "$body" '[.scopes,.services]|tostring')" \
    '[["purge_select","purge_all"],["SVC1","SVC2"]]' "GET /tokens/self tells scopes and services"
is "$(log_field '[.kind,.url,.cost]|tostring')" '["other","/tokens/self",0]' \
    "what is no purge is logged as other, at no cost"
api /current_user;      is "$(json "$body" .role)" engineer "GET /current_user tells the role"
api "/service/$id";     is "$(json "$body" .id)" "$id" "GET /service/ID tells the service"
api /service/NOPE;      is "$status" 404 "GET of an unknown service is 404"
api /nowhere;           is "$status" 404 "an unknown path is 404"

# A batch -------------------------------------------------------------------------------------------

keys_purge "one two  three"
is "$status $(json "$body" 'keys_unsorted|join(" ")')" "200 one two three" \
    "a batch in the header is answered key by key"
like "$(json "$body" '.two')" '^[0-9]+-[0-9]+-[0-9]+-2$' "batch ids are node-start-counter-number"
is "$(header fastly-surrogate-key-count)" 3 "Fastly-Surrogate-Key-Count counts the keys"
unlike "$headers" 'content-type' "a batch reply has no Content-Type"
unlike "$headers" 'ratelimit' "a batch reply has no RateLimit headers"
is "$(log_field '[.kind,.service,.soft,.n,.cost,.status,.purged,.keys]|tostring')" \
    '["keys","SVC1",false,3,3,200,true,["one","two","three"]]' "a batch is logged with its keys"
is "$(log_field '.t >= .begin and .done >= .t and .t > 1e9')" true "the log has its times in order"

first=$(log_field .conn)
keys_purge x
[ "$(log_field .conn)" != "$first" ] && ok "another connection has another id" ||
    not_ok "another connection has another id" "both $first"

purge -d '{"surrogate_keys":["a","b/c","d,e"]}' "/service/$id/purge"
is "$status $(json "$body" 'keys_unsorted|join(" ")')" "200 a b/c d,e" \
    "a batch in a JSON body works, whatever its Content-Type"
purge --http1.1 -H 'Content-Type: application/json' -H 'Transfer-Encoding: chunked' \
    -d '{ "surrogate_keys" : [ "\u0061", "b" ], "more": {"x":[1,null,true]} }' "/service/$id/purge/"
is "$status $(json "$body" 'keys_unsorted|join(" ")')" "200 a b" \
    "so it does chunked, with a slash at the end and escapes"
purge -H 'Surrogate-Key: a b' -d '{"surrogate_keys":["b","c"]}' "/service/$id/purge"
is "$(json "$body" 'keys_unsorted|join(" ")')" "a b c" "header and body together are united"
purge -H 'Surrogate-Key: a b' -H 'Surrogate-Key: c' "/service/$id/purge"
is "$(json "$body" 'keys_unsorted|join(" ")')" "a b c" "two header lines are united"
purge -H 'Surrogate-Key: a' -H 'Fastly-Soft-Purge: 0' "/service/$id/purge"
is "$(log_field .soft)" true "soft is the presence of the header, whatever its value"
purge -d '{"surrogate_keys":["a",' "/service/$id/purge"
is "$status $(json "$body" .status)" "400 fail" "a broken body is refused"
keys_purge ""
is "$status $(json "$body" .status)" "400 fail" "a batch without keys is refused"

keys_purge "$(words 256 k)"
is "$status $(json "$body" length)" "200 256" "256 keys are accepted"
keys_purge "$(words 257 k)"
is "$status $body" '400 {"status": "fail", "reason": "Batch surrogate key request only supports up to 256 surrogate keys"}' \
    "257 keys are refused with Fastly's words"
keys_purge "$(repeat a 1024)";  is "$status" 200 "a key of 1024 bytes is accepted"
keys_purge "$(repeat a 1025)";  is "$status" 400 "a key of 1025 bytes is refused"
sixteen=$(for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do printf '%s%02d ' "$(repeat k 1021)" $i; done)
keys_purge "$sixteen$(repeat z 1024)"
is "$status ${#sixteen} $(json "$body" length)" "200 15360 16" "a header of 16,384 bytes is accepted"
keys_purge "$sixteen$(repeat z 1022) a"; is "$status" 200 "… and one ending in a short key"
keys_purge "$sixteen$(repeat z 1022) aa"; is "$status" 400 "a header of 16,385 bytes is refused"
jq -nc '{surrogate_keys: [range(256) | tostring | . + ("k" * (1024 - length))]}' >"$dir/tmp/large"
purge -d "@$dir/tmp/large" "/service/$id/purge"
is "$status $(json "$body" length)" "200 256" "256 keys of 1024 bytes are accepted in a body"

# One key, one URL, everything -----------------------------------------------------------------------

purge "/service/$id/purge/a/b%2Fc+d?x=1"
is "$status $(json "$body" .status) $(header content-type)" "200 ok application/json" \
    "a key in the path is answered with status and type"
like "$(json "$body" .id)" '^[0-9]+-[0-9]+-[0-9]+$' "its id is node-start-counter"
is "$(log_field '[.kind,.keys]|tostring')" '["key",["a/b%2Fc+d"]]' "the key is taken raw"

for url in 'https://www.example.com//a//B?x=%2F&y=1' 'www.example.com/a/../b' 'www.example.com'; do
    purge "/purge/$url"
    is "$status $(json "$body" .status) $(log_field '[.kind,.url,.cost]|tostring')" \
        "200 ok [\"url\",\"$url\",1]" "URL purge, byte for byte: $url"
done
purge /purge/https:///x;        is "$status $body" "400 Malformed purge request" "a URL without host is refused"
api /purge/www.example.com/;    is "$status $(log_field .kind)" "404 other" "GET is no purge"

purge -H 'Fastly-Soft-Purge: 1' "/service/$id/purge_all"
is "$status $body" '200 {"status":"ok"}' "purge_all answers without id"
is "$(header cache-control) $(header fastly-ratelimit-remaining)" "no-store 999" \
    "purge_all tells what remains of the write budget"
is "$(($(header fastly-ratelimit-reset) % 3600)) $(($(header fastly-ratelimit-reset) > $(date +%s)))" \
    "0 1" "… and when it starts again: the next full hour"
is "$(log_field '[.kind,.soft,.cost]|tostring')" '["all",false,0]' \
    "purge_all is never soft and costs no purges"

# What happens in the cache ----------------------------------------------------------------------

page /article/17
is "$cache $version $(header surrogate-key)" "MISS 1 article-17 section-news all-articles" \
    "a page comes from the origin, with its keys"
page /article/17;   is "$cache $version" "HIT 1" "then from the cache"
page /article/18;   is "$cache $version" "MISS 1" "another page is another page"
keys_purge "nothing article-17 nowhere"
page /article/17;   is "$cache $version" "MISS 2" "a purged key makes the page fresh"
page /article/18;   is "$cache $version" "HIT 1" "its neighbour stays cached"
keys_purge all-articles
page /article/17;   is "$cache $version" "MISS 3" "a key of many pages purges one"
page /article/18;   is "$cache $version" "MISS 2" "… and the other"
keys_purge ARTICLE-17
page /article/17;   is "$cache" HIT "keys are told apart by case"

page '/page/x?keys=p%25,q+r'
purge "/service/$id/purge/q"
page '/page/x?keys=p%25,q+r';   is "$cache" HIT "a comma does not split a key"
purge -d '{"surrogate_keys":["p%,q"]}' "/service/$id/purge"
page '/page/x?keys=p%25,q+r';   is "$cache $version" "MISS 2" "a key with comma and percent sign is purged"
purge "/service/$id/purge/r"
page '/page/x?keys=p%25,q+r';   is "$cache $version" "MISS 3" "a key in the path is purged"
page '/page/y?keys=last'
jq -c '.surrogate_keys[255] = "last"' "$dir/tmp/large" >"$dir/tmp/larger"
purge -d "@$dir/tmp/larger" "/service/$id/purge"
page '/page/y?keys=last';       is "$cache $version" "MISS 2" "the last of 256 long keys is purged"

site=${SANDBOX_SITE#http://}
page '/page/A//b?q=1'
page '/page/A//b?q=2'
purge "/purge/https://$site/page/A//b?q=1"
page '/page/A//b?q=1';          is "$cache $version" "MISS 2" "a URL purge makes that URL fresh"
page '/page/A//b?q=2';          is "$cache $version" "HIT 1" "another query is another URL"
purge "/purge/$site/page/a//b?q=2"
page '/page/A//b?q=2';          is "$cache" HIT "so is another case"
page /page/h -H 'Host: www.example.com'
purge /purge/WWW.Example.COM/page/h
page /page/h -H 'Host: www.EXAMPLE.com'
is "$cache $version" "MISS 2" "hosts are compared without case"

ask -X PURGE "$SANDBOX_SITE/page/A//b?q=2"
is "$status $(json "$body" .status)" "200 ok" "PURGE to the site itself is answered"
is "$(log_field '[.kind,.url,.cost,.purged]|tostring')" \
    "[\"purge\",\"http://$site/page/A//b?q=2\",1,true]" "… logged"
page '/page/A//b?q=2';          is "$cache $version" "MISS 2" "… and carried out"

page /article/17
purge "/service/$id/purge_all"
page /article/17;               is "$cache" MISS "purge_all purges one page"
page /article/18;               is "$cache" MISS "… and every other"

refetched() { page "$1"; [ "$cache" = HIT ] && [ "$version" = "$2" ] && [ -z "$(header x-cache-stale)" ]; }
soft_test() {       # soft_test NAME PATH COMMAND…
    local name=$1 path=$2 before
    shift 2
    page "$path"
    before=$version
    "$@"
    page "$path"
    is "$cache $version $(header x-cache-stale)" "HIT $before 1" "$name: stale page served at once"
    settles "$name: then the fresh one" refetched "$path" $((before + 1))
}
soft_test "soft batch" /article/21 purge -H 'Fastly-Soft-Purge: 1' -H 'Surrogate-Key: article-21' "/service/$id/purge"
soft_test "soft URL" /article/22 purge -H 'Fastly-Soft-Purge: 1' "/purge/$site/article/22"
soft_test "soft PURGE" /article/23 ask -X PURGE -H 'Fastly-Soft-Purge: 1' "$SANDBOX_SITE/article/23"

page /article/30
fault effect=0
keys_purge article-30
is "$status $(log_field .purged)" "200 false" "effect=0 answers without purging"
page /article/30;               is "$cache" HIT "… really"
fault effect=1
keys_purge article-30
page /article/30;               is "$cache" MISS "effect=1 purges again"
fault idle=key,keys
keys_purge article-30
is "$status $(log_field .purged)" "200 false" "idle=key,keys answers purges by key without purging"
page /article/30;               is "$cache" HIT "… really"
ask -X PURGE "$SANDBOX_SITE/article/30"
page /article/30;               is "$cache" MISS "… but purges by URL"
fault idle=
ask -X PURGE -H 'X-Sandbox-What: all' -H 'X-Sandbox-Secret: guess' "$SANDBOX_SITE/elsewhere"
page /article/30;               is "$cache" HIT "nobody purges Varnish behind the API's back"

# Faults -------------------------------------------------------------------------------------------

fresh_start
page /article/40
is "$(sandbox fault nonsense=1 2>&1 >/dev/null)" '{"error":"no such fault or setting: nonsense"}' \
    "an unknown fault is refused by name"
is "$(sandbox fault budget=lots 2>&1 >/dev/null)" '{"error":"not a value for budget: lots"}' \
    "a bad value is refused by name"
is "$(sandbox fault latency_ms=5 kinds=key 2>/dev/null; sandbox state | jq -c .faults)" '[]' \
    "of a refused request nothing is taken"

fault status=503 count=2
keys_purge article-40;  is "$status $body" "503 Service Unavailable" "status=503 answers a text"
is "$(log_field '[.status,.purged]|tostring')" '[503,false]' "it is logged and not carried out"
is "$(sandbox state | jq -c '.faults[0]|[.name,.value,.count,.left]')" '["status",503,2,1]' \
    "state tells what is left of it"
keys_purge a;           is "$status" 503 "count=2 means twice"
keys_purge a;           is "$status" 200 "… and not a third time"
page /article/40;       is "$cache" HIT "a failed purge has purged nothing"
fault status=500 body='<h1>oops</h1>' retry_after=7
keys_purge a;           is "$status $body $(header retry-after)" "500 <h1>oops</h1> 7" \
    "body and retry_after go with status"
fault status=0;         keys_purge a;   is "$status" 200 "0 ends a fault"
curl -s -d 'status=408' "$SANDBOX_CONTROL/fault" >"$dir/tmp/out"
keys_purge a;           is "$status" 408 "faults can be set with plain curl"
is "$(curl -s "$SANDBOX_CONTROL/state" | jq -r '.faults[0].name')" status "… and seen"
curl -s -X POST "$SANDBOX_CONTROL/reset" >"$dir/tmp/out"
keys_purge a;           is "$status" 200 "… and reset"

fault throttle=1 count=1
keys_purge a
is "$status $(json "$body" .msg) $(header retry-after)" \
    "429 You have exceeded your hourly rate limit. Please contact support@fastly.com if you think this is a mistake. " \
    "throttle=1 answers 429 with Fastly's words, without Retry-After"
fault throttle=1 count=1 retry_after=2
keys_purge a;           is "$status $(header retry-after)" "429 2" "retry_after in seconds"
fault throttle=1 count=1 retry_after='Wed, 21 Oct 2026 07:28:00 GMT'
keys_purge a;           is "$status $(header retry-after)" "429 Wed, 21 Oct 2026 07:28:00 GMT" \
    "retry_after as a date"

fault throttle=1 kind=url,key service=SVC2
keys_purge a;                           is "$status" 200 "kind spares other kinds"
purge "/service/$id/purge/a";           is "$status" 200 "service spares other services"
purge "/service/SVC2/purge/a";          is "$status" 429 "kind and service together hit"
fault status=503 kind=keys
fault throttle=0
purge "/service/SVC2/purge/a";          is "$status" 200 "a fault is ended wherever it applied"
keys_purge a;                           is "$status" 503 "… and its neighbour stays"
fresh_start

fault latency_ms=300
start=$(date +%s%N)
keys_purge article-40
took=$((($(date +%s%N) - start) / 1000000))
[ $took -ge 300 ] && [ "$status" = 200 ] && ok "latency_ms delays the answer" ||
    not_ok "latency_ms delays the answer" "$took ms, $status"
is "$(log_field '.done - .t > 0.299')" true "the log tells arrival and answer"
fault latency_ms=5000
purge --max-time 0.3 "/service/$id/purge/impatient"
gave_up() { [ "$(log_field '[.keys[0],.status,.purged]|tostring')" = '["impatient",499,false]' ]; }
settles "who gives up waiting is logged with 499" gave_up
fresh_start

for http in --http2 --http1.1; do
    page /article/40
    fault reset=1 count=1
    purge $http "/service/$id/purge/article-40"
    is "$status $((rc == 92 || rc == 56))" "000 1" "reset=1 cuts it off ($http)"
    is "$(log_field '[.keys[0],.status,.done,.purged]|tostring')" '["article-40",0,null,false]' \
        "… logged without an answer ($http)"
    fault hang=1 count=1
    purge $http --max-time 0.3 "/service/$id/purge/hung"
    is "$rc $(log_field '[.keys[0],.status,.done]|tostring')" '28 ["hung",0,null]' \
        "hang=1 never answers, logged as it arrives ($http)"
    fault crash=1 count=1
    purge $http "/service/$id/purge/crashed"
    is "$status $(log_field '[.keys[0],.status]|tostring')" '000 ["crashed",0]' \
        "crash=1 cuts every connection ($http)"
    purge $http "/service/$id/purge/next"
    is "$status" 200 "… and another worker takes over ($http)"
done
is "$(grep -c '"hung"' "$SANDBOX_LOG")" 2 "a hanging request has one line each"
page /article/40;       is "$cache" HIT "a lost request has purged nothing"

fault garbage=1 count=1
keys_purge article-40;  is "$status $(jq . <<<"$body" >/dev/null 2>&1 && echo JSON)" "200 " "garbage=1 is 200 without JSON"
fault empty=1 count=1
keys_purge article-40;  is "$status $body" "200 " "empty=1 is 200 without a body"
page /article/40;       is "$cache" HIT "neither has purged anything"
page '/page/o?keys=o1'; page '/page/o?keys=o3'
fault omit_keys=2 count=1
keys_purge "o1 o2 o3"
is "$status $(json "$body" 'keys|join(" ")') $(header fastly-surrogate-key-count)" "200 o1 1" \
    "omit_keys=2 leaves two keys out of the reply"
page '/page/o?keys=o1'; is "$cache" MISS "the key that is in the reply is purged"
page '/page/o?keys=o3'; is "$cache" HIT "one that is not in it is not"

fault unauthorized=1 count=2
keys_purge a;           is "$status $body" "401 $msg" "unauthorized=1 kills the token for purges"
api /tokens/self;       is "$status" 401 "… and for everything else"
fault forbidden=1 count=1
keys_purge a;           is "$status" 403 "forbidden=1 is 403"
fault not_found=1 count=1
keys_purge a;           is "$status $(json "$body" .detail)" "404 Cannot find service" "not_found=1 is 404"

fault poison=bad
keys_purge "a bad b";   is "$status $(json "$body" .status)" "400 fail" "a poisoned batch is refused"
keys_purge "a b";       is "$status" 200 "without the poison it is not"
keys_purge "badger";    is "$status" 200 "nor for a longer word"
fault poison= key_limit=2
keys_purge "a bad";     is "$status" 200 "poison= ends it"
keys_purge "a b c";     like "$status $body" '^400 .*up to 2 surrogate keys' "key_limit moves the limit"
fresh_start

# GOAWAY: one connection, two streams. The quick request triggers it while the slow one is in progress.
fault latency_ms=600 kind=url
fault goaway=1 kind=key count=1
trace=$(nghttp -v --no-verify-peer -H ':method: POST' -H "Fastly-Key: right-token" \
    "$SANDBOX_API/purge/www.example.com/slow" "$SANDBOX_API/service/$id/purge/quick" 2>&1)
like "$trace" 'recv GOAWAY' "goaway=1 sends GOAWAY"
like "$trace" 'recv GOAWAY.*recv .*:status: 200' "… and the stream under way is still answered"
fresh_start
purge "/service/$id/purge/a";   is "$status" 200 "… and new connections are served"

# The budget -----------------------------------------------------------------------------------------

fault budget=10 per_s=3600
keys_purge "$(words 10 k)";     is "$status" 200 "10 keys fit a budget of 10"
keys_purge a
is "$status $(json "$body" .msg)" \
    "429 You have exceeded your hourly rate limit. Please contact support@fastly.com if you think this is a mistake." \
    "an 11th does not, in Fastly's words"
unlike "$headers" 'retry-after|[Rr]ate[Ll]imit' "… and no header tells when it will"
is "$(log_field '[.status,.cost,.purged]|tostring')" '[429,1,false]' "a 429 is logged with its cost"
purge /purge/www.example.com/;  is "$status" 429 "a URL draws on the same budget"
ask -X PURGE "$SANDBOX_SITE/x"; is "$status" 429 "a PURGE to the site as well"
purge "/service/$id/purge_all"; is "$status" 200 "purge_all does not"
is "$(sandbox state | jq -c '.budget|[.limit,.spent,.left,.refused]')" '[10,10,0,3]' "state tells what is spent"
fault budget=0
keys_purge "$(words 50 k)";     is "$status" 200 "budget=0 is unlimited"
fresh_start
fault budget=10
keys_purge "$(words 6 k)"
keys_purge "$(words 5 k)";      is "$status" 429 "a batch that does not fit is refused whole"
keys_purge "$(words 4 k)";      is "$status" 200 "… and costs nothing"
fresh_start
fault budget=10 cost=request
keys_purge "$(words 256 k)";    is "$status $(log_field .cost)" "200 1" "cost=request: a batch costs 1"
fault foreign=9
keys_purge a;                   is "$status" 429 "foreign=9: somebody else has spent the rest"
fresh_start
keys_purge a;                   is "$status" 200 "reset forgets what was spent"
fresh_start
fault budget=1
fault status=503 count=1
keys_purge a;                   is "$status" 503 "a 503 within the budget is a 503"
keys_purge a;                   is "$status" 429 "… and has spent its cost"
fresh_start
fault writes=1
purge "/service/$id/purge_all"
is "$status $(header fastly-ratelimit-remaining)" "200 0" "the write budget counts down"
purge "/service/$id/purge_all"
is "$status $(header fastly-ratelimit-remaining) $(log_field .kind)" "429 0 all" "… and ends"

# The window slides: send as fast as possible for three windows of one second, then check the log.
fresh_start
fault budget=50 per_s=1
from=$(wc -l <"$SANDBOX_LOG")
curl -s --rate 150/s --cacert "$SANDBOX_CA" -H 'Fastly-Key: right-token' -X POST \
    "$SANDBOX_API/service/$id/purge/k[1-450]" >"$dir/tmp/out"
tail -n +$((from + 1)) "$SANDBOX_LOG" >"$dir/tmp/window"
book=$(jq -s '
    [.[] | {t: (.t * 1000 | round), ok: (.status == 200)}] as $all
    | [$all[] | select(.ok) | .t] as $spent
    | { sent: ($all | length), accepted: ($spent | length),
        most: ([$spent[] as $t | [$spent[] | select(. > $t - 1000 and . <= $t)] | length] | max),
        too_strict: [$all[] | select(.ok | not) | .t as $t
            | [$spent[] | select(. >= $t - 1002 and . <= $t)] | length | select(. < 50)] | length }
    | "most \(.most), too strict \(.too_strict), accepted more than one window \(.accepted > 50)"' \
    "$dir/tmp/window")
is "$book" '"most 50, too strict 0, accepted more than one window true"' \
    "no window of a second has more than the budget, and none less for no reason"

# The log ------------------------------------------------------------------------------------------

fresh_start
purge -d '{"surrogate_keys":["quote\"back\\slash","tab\tnl\n","\u00e9"]}' "/service/$id/purge"
is "$(json "$body" keys_unsorted[0])" 'quote"back\slash' "odd keys survive the reply"
is "$(log_field '.keys|tostring')" '["quote\"back\\slash","tab\tnl\n","Ã©"]' \
    "odd keys survive the log, a byte above 127 as one Latin-1 character"
is "$(jq -s 'map(has("t") and has("kind") and has("cost") and has("status")) | all' "$SANDBOX_LOG")" true \
    "every line of the log is JSON with its fields"
requests=$(($(wc -l <"$SANDBOX_LOG")))
keys_purge a; keys_purge b
is "$(($(wc -l <"$SANDBOX_LOG") - requests))" 2 "two requests, two lines"
# Whoever has an answer may count on its line, without waiting. Checked with one fast connection.
late_lines() {
    python3 - "$SANDBOX_API" "$SANDBOX_CA" "$SANDBOX_LOG" "/service/$id/purge/a" <<'PYTHON'
import http.client, ssl, sys
api, ca, log, path = sys.argv[1:]
late = 0
tls = ssl.create_default_context(cafile=ca)
api = http.client.HTTPSConnection(api.removeprefix("https://"), context=tls, timeout=60)
with open(log) as lines:
    lines.seek(0, 2)
    for _ in range(1000):
        api.request("POST", path, headers={"Fastly-Key": "right-token"})
        assert api.getresponse().read()
        late += not lines.read()
print(late)
PYTHON
}
is "$(late_lines)" 0 "each of 1,000 answers is in the log before its client has it"
is "$(grep -c right-token "$SANDBOX_LOG")" 0 "the token is not in the log"
is "$(grep -vE 'exited on signal|exited with code 1|signal 1 |notice|http2" directive is deprecated' "$dir/nginx-error.log")" "" \
    "nginx has nothing to complain about"

# Stopping -----------------------------------------------------------------------------------------

fault hang=1
curl -s --cacert "$SANDBOX_CA" -H 'Fastly-Key: right-token' -X POST \
    "$SANDBOX_API/service/$id/purge/a" & hanging=$!
pids="$(cat "$dir/nginx.pid") $(cat "$dir/varnish.pid")"
is "$(sandbox down; echo $?)" 0 "down stops it, even with a request hanging"
wait $hanging
alive=
for pid in $pids; do [ -n "$(tr -d '\0' 2>/dev/null <"/proc/$pid/cmdline")" ] && alive="$alive $pid"; done
is "$alive" "" "its processes are gone"
curl -s -o /dev/null --max-time 1 "$SANDBOX_SITE/"; is "$?" 7 "its ports are free"
is "$(ls "$dir/env" 2>/dev/null)" "" "env is gone with it"
is "$(sandbox down 2>/dev/null; echo $?)" 0 "a second down is fine"

ca=$(cat "$dir/ca.pem") lines=$(wc -l <"$SANDBOX_LOG")
"$root/deploy/sandbox/sandbox" run --dir "$dir" --token again >"$dir/run.out" 2>&1 & runner=$!
settles "run starts it again in the same folder" test -s "$dir/env"
is "$(cat "$dir/ca.pem")" "$ca" "… with the CA it had"
is "$(wc -l <"$SANDBOX_LOG")" "$lines" "… and the log it had"
kill -TERM $runner
wait $runner; is "$? $(sandbox status >/dev/null; echo $?)" "0 3" "SIGTERM ends run and all it started"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
