// SPDX-License-Identifier: MIT
// Tests purgeline with Fastly's own JavaScript client. Its base URL is a literal in each method, so there
// are two ways to redirect it:
//
//   node fastly.js plugin http://127.0.0.1:8126 SERVICE TOKEN    change the URL of each request
//   node fastly.js agent 8126 SERVICE TOKEN                      resolve api.fastly.com to this machine
"use strict";

const assert = require("node:assert");
const https = require("node:https");
const Fastly = require("fastly");

const [how, where, service, token] = process.argv.slice(2);
const client = Fastly.ApiClient.instance;

if (how === "plugin") {
    client.plugins = [(request) => {
        request.url = request.url.replace("https://api.fastly.com", where);
    }];
} else {
    const here = (host, options, done) =>
        options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
    client.requestAgent = new https.Agent({ lookup: here, port: Number(where), keepAlive: true });
}

async function refused(promise, status) {
    const error = await promise.then(() => assert.fail("it was taken"), (e) => e);

    assert.strictEqual(error.status, status, String(error.error));
    return error.body;
}

function isOk(reply) {
    assert.strictEqual(reply.status, "ok");
    assert.ok(reply.id.length > 0);
}

async function main() {
    const purges = new Fastly.PurgeApi();
    const key = (name) => ({ service_id: service, surrogate_key: name });

    await refused(purges.purgeTag(key("no-token")), 401);
    client.authenticate(token);
    isOk(await purges.purgeTag(key("blog/2024/a:b")));
    isOk(await purges.purgeTag({ ...key("100%25"), fastly_soft_purge: 1 }));

    const body = { surrogate_keys: ["json/1", "json-2"] };
    const inBody = await purges.bulkPurgeTag({ service_id: service, purge_response: body });
    assert.deepStrictEqual(Object.keys(inBody).sort(), ["json-2", "json/1"]);

    const inHeader = await purges.bulkPurgeTag({ ...key("head/1 head-2"), fastly_soft_purge: 1 });
    assert.deepStrictEqual(Object.keys(inHeader).sort(), ["head-2", "head/1"]);

    const many = Array.from({ length: 600 }, (_, i) => `many-${i}`);
    const all = await purges.bulkPurgeTag({ service_id: service, purge_response: { surrogate_keys: many } });
    assert.strictEqual(Object.keys(all).length, 600);

    isOk(await purges.purgeSingleUrl({ cached_url: "www.example.com/a//b?x=1&x=2" }));
    isOk(await purges.purgeSingleUrl({ cached_url: "https://www.example.com/soft", fastly_soft_purge: 1 }));

    const self = await new Fastly.TokensApi().getTokenCurrent();
    assert.deepStrictEqual([...self.services], [service]);
    const found = await new Fastly.ServiceApi().getService({ service_id: service });
    assert.strictEqual(found.name, "news");

    const services = new Fastly.ServiceApi();
    assert.strictEqual((await services.searchService({ name: "news" })).id, service);
    await refused(services.searchService({ name: "nobody" }), 404);
    assert.strictEqual((await services.getServiceDetail({ service_id: service })).name, "news");
    assert.strictEqual((await services.listServices({ page: 1, per_page: 20 })).length, 1);
    assert.strictEqual((await services.listServices({ page: 2, per_page: 20 })).length, 0);
    assert.strictEqual((await new Fastly.VersionApi().listServiceVersions({ service_id: service })).length, 0);
    assert.ok((await new Fastly.PublicIpListApi().listFastlyIps()).addresses.length > 0);

    const body404 = await refused(purges.purgeTag({ service_id: "SU9Nobody", surrogate_key: "a" }), 404);
    assert.strictEqual(body404.msg, "Record not found");
    await refused(purges.bulkPurgeTag({ service_id: service }), 400);
    await refused(purges.purgeAll({ service_id: service }), 403);
}

main().catch((error) => {
    console.error(error.body ? [error.status, error.body] : error);
    process.exit(1);
});
