// SPDX-License-Identifier: MIT
// Tests purgeline with Adobe's client of Fastly's API, whose base URL is a constant in a module.
//
//   node adobe.mjs NODE_MODULES http://127.0.0.1:8126 SERVICE TOKEN         all purges but purge-all
//   node adobe.mjs NODE_MODULES http://127.0.0.1:8126 SERVICE TOKEN all     purge-all, which replaces all
//                                                                           purges that still wait
import assert from "node:assert";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [modules, base, service, token, all] = process.argv.slice(2);
const source = (file) =>
    pathToFileURL(path.join(modules, "@adobe/fastly-native-promises/src", file)).href;

(await import(source("config.js"))).default.mainEntryPoint = base;
const { default: connect } = await import(source("index.js"));
const client = connect(token, service);
const soft = connect(token, service); // another one, because a client keeps all headers that it has sent

function isOk(reply) {
    assert.strictEqual(reply.status, 200);
    assert.strictEqual(reply.data.status, "ok");
}

if (all) {
    isOk(await client.purgeAll());
    process.exit(0);
}
isOk(await client.purgeKey("adobe/key"));
isOk(await soft.softPurgeKey("adobe-soft"));
isOk(await client.purgeIndividual("www.example.com/adobe//a?b=1&b=2"));
isOk(await soft.softPurgeIndividual("https://www.example.com/adobe-soft"));
assert.deepStrictEqual(Object.keys((await client.purgeKeys(["adobe-1", "adobe-2"])).data).sort(),
    ["adobe-1", "adobe-2"]);
assert.deepStrictEqual(Object.keys((await soft.softPurgeKeys(["adobe-3"])).data), ["adobe-3"]);

assert.strictEqual((await client.readService()).data.name, "news");
assert.strictEqual((await client.readServices()).data.length, 1);
assert.deepStrictEqual((await client.readVersions()).data, []);
const refused = await connect("wrong", service).purgeKey("no-token").then(
    () => assert.fail("it was taken"), (e) => e);
assert.strictEqual(refused.status, 401);
process.exit(0);
