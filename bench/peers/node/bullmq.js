// SPDX-License-Identifier: MIT
//   node bullmq.js push REDIS COUNT PREFIX             prints when it begins
//   node bullmq.js work REDIS SINK [MAX DURATION_MS]    at most MAX jobs per DURATION
// CONNECTIONS: how many to the sink; for one that answers slowly, as many as there are jobs at a time
'use strict';
const fs = require('fs');
const { Pool } = require('undici');
const { Queue, Worker } = require('bullmq');

const [what, path, third, fourth, fifth] = process.argv.slice(2);
const connection = { path, maxRetriesPerRequest: null };

async function push() {
    const queue = new Queue('purges', { connection });
    const count = Number(third);
    console.log(Date.now() / 1000);
    for (let i = 0; i < count; i += 1000) {
        const jobs = [];
        for (let k = i; k < Math.min(count, i + 1000); k++)
            jobs.push({ name: 'purge', data: { url: `${fourth}${k}` }, opts: { removeOnComplete: true } });
        await queue.addBulk(jobs);
    }
    await queue.close();
}

function work() {
    const { origin, pathname } = new URL(third);
    const base = pathname === '/' ? '' : pathname;
    const pool = new Pool(origin, {
        connections: Number(process.env.CONNECTIONS || 16),
        connect: { ca: fs.readFileSync(process.env.NODE_EXTRA_CA_CERTS) },
    });
    const options = { connection, concurrency: 64 };
    if (fourth) options.limiter = { max: Number(fourth), duration: Number(fifth) };
    const worker = new Worker('purges', async (job) => {
        const reply = await pool.request({
            path: `${base}/purge/${job.data.url}`, method: 'POST', headers: { 'fastly-key': 'token' },
        });
        await reply.body.text();
        if (reply.statusCode !== 200) throw new Error(`status ${reply.statusCode}`);
    }, options);
    worker.on('error', (error) => console.error(error.message));
    worker.on('failed', (job, error) => console.error(error.message));
}

if (what === 'push') push();
else work();
