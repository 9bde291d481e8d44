# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# For `deploy/quickstart consume`: brokers of each source of consumers. Each is started on 127.0.0.1, in a folder below
# $dir, and gets messages as an application would send them. Per source: <source>_needs prints what is missing,
# <source>_up starts the broker and prints the settings of a consumer, <source>_send sends the text $1.
# shellcheck disable=SC2154  # dir, root, deadline_s are those of quickstart

sources="redis_list redis_stream postgres amqp nats"
broker_pids=()

free_port() {
    local port
    while :; do
        port=$((RANDOM % 12000 + 20000))
        (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port; return; }
    done
}

# broker NAME COMMAND…: starts it, with its log in $dir/NAME.log. It ends when this script dies.
broker() {
    local name=$1
    shift
    setsid setpriv --pdeathsig TERM -- "$@" </dev/null >"$dir/$name.log" 2>&1 &
    broker_pids+=($!)
}

stop_brokers() {
    local rabbitmq
    rabbitmq=$(cat "$dir/rabbitmq.pid" 2>/dev/null) && broker_pids+=("$rabbitmq")
    [ ${#broker_pids[@]} = 0 ] || { kill "${broker_pids[@]}"; wait "${broker_pids[@]}"; } 2>/dev/null
    [ -z "${epmd_pid:-}" ] || { kill "$epmd_pid"; wait "$epmd_pid"; } 2>/dev/null
}

# lacks PLUGIN PACKAGE PROGRAM PACKAGE …: what to install so that the plugin is built and the programs are there.
lacks() {
    local plugin=$1 package=$2 missing=()
    [ -z "$plugin" ] || [ -e "$root/build/release/$plugin" ] || missing+=("$package")
    shift 2
    while [ $# -gt 0 ]; do
        compgen -G "$1" >/dev/null || command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    echo "${missing[*]}"
}

# Redis ------------------------------------------------------------------------------------------

redis_list_needs() { lacks '' '' redis-server redis-server; }
redis_stream_needs() { redis_list_needs; }

theirs() { redis-cli -p "$redis_port" "$@"; }

# One for both.
redis_broker() {
    [ -z "${redis_port:-}" ] || return 0
    redis_port=$(free_port)
    broker redis redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --dir "$dir"
    soon theirs PING >/dev/null 2>&1
}

redis_list_up() {
    redis_broker || return
    settings="source: redis-list, url: \"redis://127.0.0.1:$redis_port\", topic: a-list"
}
redis_list_send() { theirs RPUSH a-list "$1" >/dev/null; }
redis_list_shows() { echo "redis-cli RPUSH a-list '$1'"; }

redis_stream_up() {
    redis_broker || return
    settings="source: redis-stream, url: \"redis://127.0.0.1:$redis_port\", topic: a-stream, field: payload"
}
redis_stream_send() { theirs XADD a-stream '*' payload "$1" >/dev/null; }
redis_stream_shows() { echo "redis-cli XADD a-stream '*' payload '$1'"; }

# PostgreSQL -------------------------------------------------------------------------------------

postgres_needs() { lacks source-postgres.so libpq-dev '/usr/lib/postgresql/*/bin/postgres' postgresql; }

# The server refuses to run as root.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"
    else
        "$@"
    fi
}
psql_here() { psql -h 127.0.0.1 -p "$postgres_port" -U quick -d postgres -qAt -v ON_ERROR_STOP=1 "$@"; }

postgres_up() {
    local bin
    bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
    postgres_port=$(free_port)
    chmod 711 "$dir"
    mkdir "$dir/postgres"
    [ "$(id -u)" != 0 ] || chown postgres: "$dir/postgres"
    chmod 700 "$dir/postgres"
    (cd / && as_postgres "$bin/initdb" -D "$dir/postgres" -U quick -A trust --no-sync) \
        >"$dir/initdb.log" 2>&1 || return
    local words=("$bin/postgres" -D "$dir/postgres" -k "$dir/postgres" -p "$postgres_port"
        -c listen_addresses=127.0.0.1)
    [ "$(id -u)" != 0 ] || words=(--reuid=postgres --regid=postgres --clear-groups -- "${words[@]}")
    if [ "$(id -u)" = 0 ]; then broker postgres setpriv "${words[@]}"; else broker postgres "${words[@]}"; fi
    soon psql_here -c 'SELECT 1' >/dev/null 2>&1 &&
        psql_here -f "$root/deploy/outbox.sql" >/dev/null 2>&1 || return
    settings="source: postgres, url: \"postgresql://quick@127.0.0.1:$postgres_port/postgres\", topic: purgeline_outbox"
}
postgres_send() { psql_here -c "INSERT INTO purgeline_outbox (message) VALUES ('$1')" >/dev/null; }
postgres_shows() { echo "INSERT INTO purgeline_outbox (message) VALUES ('$1');"; }

# RabbitMQ ---------------------------------------------------------------------------------------

rabbit=/usr/lib/rabbitmq/bin/rabbitmq-server # the one in PATH insists on running as root or rabbitmq
amqp_needs() {
    lacks source-amqp.so librabbitmq-dev $rabbit rabbitmq-server amqp-publish amqp-tools
}

amqp_up() {
    amqp_port=$(free_port)
    export RABBITMQ_MNESIA_BASE=$dir/mnesia RABBITMQ_LOG_BASE=$dir/rabbitmq RABBITMQ_NODENAME=quick@localhost \
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT=$amqp_port RABBITMQ_PID_FILE=$dir/rabbitmq.pid \
        RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf RABBITMQ_ADVANCED_CONFIG_FILE=$dir/advanced.config \
        RABBITMQ_ENABLED_PLUGINS_FILE=$dir/plugins RABBITMQ_CONF_ENV_FILE=$dir/rabbitmq-env.conf \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' ERL_EPMD_ADDRESS=127.0.0.1
    RABBITMQ_DIST_PORT=$(free_port) ERL_EPMD_PORT=$(free_port)
    export RABBITMQ_DIST_PORT ERL_EPMD_PORT
    echo '[].' | tee "$dir/plugins" >"$dir/advanced.config"
    : >"$dir/rabbitmq.conf"
    : >"$dir/rabbitmq-env.conf"
    setsid setpriv --pdeathsig TERM -- epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 </dev/null >/dev/null 2>&1 &
    epmd_pid=$!
    HOME=$dir broker rabbitmq $rabbit
    deadline_s=180 soon amqp-declare-queue --url "amqp://127.0.0.1:$amqp_port" -d -q changes >/dev/null 2>&1 || return
    settings="source: amqp, url: \"amqp://127.0.0.1:$amqp_port\", topic: changes"
}
amqp_send() { amqp-publish --url "amqp://127.0.0.1:$amqp_port" -r changes -p -b "$1" >/dev/null; }
amqp_shows() { echo "amqp-publish -r changes -p -b '$1'"; }

# NATS -------------------------------------------------------------------------------------------

nats_needs() { lacks source-nats.so libnats-dev nats-server nats-server; }

# nats_ask SUBJECT TEXT: publishes it, and succeeds if the server's answer has no error. Debian has no client in a
# package, and the protocol is text: https://docs.nats.io/reference/reference-protocols/nats-protocol
nats_ask() {
    local line='' told=''
    exec 9<>"/dev/tcp/127.0.0.1/$nats_port" || return
    printf 'CONNECT {"verbose":false}\r\nSUB answer 1\r\nPUB %s answer %d\r\n%s\r\n' "$1" ${#2} "$2" >&9
    while read -r -t 10 line <&9; do
        case $line in
            MSG*) read -r -t 10 told <&9; break ;;
            -ERR*) break ;;
        esac
    done
    exec 9<&-
    case $told in *'"error"'* | '') return 1 ;; esac
}
# shellcheck disable=SC2016  # $JS is the name of a subject
nats_up() {
    nats_port=$(free_port)
    broker nats nats-server -a 127.0.0.1 -p "$nats_port" -js -sd "$dir/nats"
    soon nats_ask '$JS.API.STREAM.CREATE.changes' '{"name":"changes","subjects":["articles.>"]}' 2>/dev/null || return
    settings="source: nats, url: \"nats://127.0.0.1:$nats_port\", topic: changes"
}
nats_send() { nats_ask articles.changed "$1"; }
nats_shows() { echo "nats pub articles.changed '$1'"; }

# The demonstration ------------------------------------------------------------------------------

# begin_sources: starts the brokers that are installed, and writes their consumers into $consumers and their names
# into $brokers.
begin_sources() {
    local source missing
    consumers='' brokers=()
    for source in $sources; do
        missing=$("${source}_needs")
        if [ -n "$missing" ]; then
            note "${source/_/-} is left out. To see it: apt-get install $missing"
            continue
        fi
        note "starting the broker for ${source/_/-}"
        "${source}_up" || { tail -n 20 "$dir"/*.log >&2; die "the broker for ${source/_/-} did not start"; }
        consumers+="  - {name: ${source/_/-}, run: true, $settings, keys: [\"article-{id}\"]}"$'\n'
        brokers+=("$source")
    done
    note "kafka is left out: Debian has no broker for it"
}

show_source() {
    local source=$1 article=$2 message="{\"id\":$2}"
    title "$("${source}_shows" "$message")"
    claim "article $article comes from the cache (version 1)" all_show "$article" "$article" 1 HIT
    claim "the message is sent" "${source}_send" "$message"
    claim "the page is fresh" soon all_show "$article" "$article" 2
}

consume() {
    local article=11 source
    start_sandbox
    title "Starting brokers"
    begin_sources
    start_purgeline
    pages 11 20 >/dev/null
    for source in "${brokers[@]}"; do
        show_source "$source" $((article++))
    done
    title "purgeline status"
    "$purgeline" status | grep consumer
    title "Stopping"
    claim "purgeline exits with 0 on SIGTERM" stop_purgeline
    verdict
}
