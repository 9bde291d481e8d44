// SPDX-License-Identifier: MIT
// A dispatcher written by hand: a Redis stream, 64 requests at a time.
//   node streams.js undici|fastly REDIS SINK     (NODE_EXTRA_CA_CERTS: the sink's certificate)
//   node streams.js keys REDIS SINK              256 keys a request
'use strict';
const fs = require('fs');
const Redis = require('ioredis');

const [how, path, sink] = process.argv.slice(2);
const AT_ONCE = 64;
const SERVICE = 'SU1Z0isxPaozGVKXdv0eY';
const reader = new Redis(path);
const writer = new Redis(path, { enableAutoPipelining: true });

function undiciSender() {
    const { Pool } = require('undici');
    const connections = how === 'keys' ? 64 : 16;
    const pool = new Pool(sink, {
        connections,
        connect: { ca: fs.readFileSync(process.env.NODE_EXTRA_CA_CERTS) },
    });
    const send = async (path, headers) => {
        const reply = await pool.request({ path, method: 'POST', headers });
        await reply.body.text();
        if (reply.statusCode !== 200) throw new Error(`status ${reply.statusCode}`);
    };
    if (how === 'keys')
        return (targets) => send(`/service/${SERVICE}/purge`,
            { 'fastly-key': 'token', 'surrogate-key': targets.join(' ') });
    return ([target]) => send(`/purge/${target}`, { 'fastly-key': 'token' });
}

// The package has no setting for its base address. It also opens a connection for each request unless it
// gets an agent.
function fastlySender() {
    const Fastly = require('fastly');
    const { Agent } = require('https');
    const call = Fastly.ApiClient.prototype.callApi;
    Fastly.ApiClient.prototype.callApi = function (...words) {
        words[12] = sink;
        return call.apply(this, words);
    };
    Fastly.ApiClient.instance.authenticate('token');
    Fastly.ApiClient.instance.requestAgent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
    const api = new Fastly.PurgeApi();
    return ([target]) => api.purgeSingleUrl({ cached_url: target });
}

async function main() {
    const send = how === 'fastly' ? fastlySender() : undiciSender();
    let inFlight = 0;
    let wake = null;
    const one = async (entries) => {
        await send(entries.map(([, fields]) => fields[1]));
        const ids = entries.map(([id]) => id);
        inFlight--;
        if (wake) { wake(); wake = null; }
        await Promise.all([writer.xack('jobs', 'peer', ...ids), writer.xdel('jobs', ...ids)]);
    };
    const start = async (entries) => {
        while (inFlight >= AT_ONCE) await new Promise((resolve) => { wake = resolve; });
        inFlight++;
        one(entries).catch((error) => { console.error(error); process.exit(1); });
    };
    await reader.xgroup('CREATE', 'jobs', 'peer', '0', 'MKSTREAM').catch(() => {});
    for (;;) {
        const reply = await reader.xreadgroup('GROUP', 'peer', 'me', 'COUNT', 256, 'BLOCK', 1000,
            'STREAMS', 'jobs', '>');
        const entries = reply ? reply[0][1] : [];
        if (how === 'keys' && entries.length) await start(entries);
        else for (const entry of entries) await start([entry]);
    }
}
main();
