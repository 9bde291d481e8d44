// SPDX-License-Identifier: MIT
// fastify that adds requests to a stream:  node enqueue.js REDIS PORT
'use strict';
const Redis = require('ioredis');
const fastify = require('fastify')();

const [path, port] = process.argv.slice(2);
const redis = new Redis(path, { enableAutoPipelining: true });

fastify.post('/v1/purge', {
    schema: { body: { type: 'object', required: ['url'], properties: { url: { type: 'string' } } } },
}, async (request, reply) => {
    const id = await redis.xadd('jobs', '*', 'url', request.body.url);
    reply.code(202);
    return { job: id };
});
fastify.listen({ host: '127.0.0.1', port: Number(port) });
