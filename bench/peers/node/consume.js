// SPDX-License-Identifier: MIT
// Consumers written by hand: they take messages in batches, push them into a Redis stream in a pipeline, and tell the
// queue that they are done when Redis has said yes to each.
//   node consume.js kafka|amqp|nats|postgres ADDRESS TOPIC REDIS [GROUP]
'use strict';
const Redis = require('ioredis');

const [source, address, topic, path, group] = process.argv.slice(2);
const STREAM = 'purgeline:{bench}:jobs:normal';
const BATCH = 512;
const redis = new Redis(path);

async function push(texts) {
    const pipeline = redis.pipeline();
    for (const text of texts) pipeline.xadd(STREAM, '*', 'keys', JSON.parse(text).keys);
    for (const [error] of await pipeline.exec()) if (error) throw error;
}

async function kafka() {
    const { Kafka, logLevel } = require('kafkajs');
    const client = new Kafka({ brokers: [address], logLevel: logLevel.ERROR });
    const consumer = client.consumer({ groupId: group });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({
        eachBatch: async ({ batch }) => {
            for (let i = 0; i < batch.messages.length; i += BATCH)
                await push(batch.messages.slice(i, i + BATCH).map((message) => message.value.toString()));
        },
    });
}

async function amqp() {
    const channel = await (await require('amqplib').connect(address)).createChannel();
    let waiting = [];
    let busy = false;
    const work = async () => {
        if (busy) return;
        busy = true;
        while (waiting.length) {
            const now = waiting.splice(0, BATCH);
            await push(now.map((message) => message.content.toString()));
            channel.ack(now[now.length - 1], true);
        }
        busy = false;
    };
    await channel.prefetch(2 * BATCH);
    await channel.consume(topic, (message) => {
        waiting.push(message);
        if (!busy) setImmediate(work);
    });
}

async function nats() {
    const connection = await require('nats').connect({ servers: address });
    const consumer = await connection.jetstream().consumers.get(topic, group);
    for (;;) {
        const now = [];
        for await (const message of await consumer.fetch({ max_messages: BATCH, expires: 1000 })) now.push(message);
        await push(now.map((message) => message.string()));
        for (const message of now) message.ack();
        await connection.flush();
    }
}

async function postgres() {
    const client = new (require('pg').Client)(address);
    await client.connect();
    for (;;) {
        await client.query('BEGIN');
        const { rows } = await client.query(
            `SELECT id, message::text FROM ${topic} ORDER BY id LIMIT ${BATCH} FOR UPDATE SKIP LOCKED`);
        await push(rows.map((row) => row.message));
        await client.query(`DELETE FROM ${topic} WHERE id = ANY($1)`, [rows.map((row) => row.id)]);
        await client.query('COMMIT');
        if (!rows.length) await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
}

({ kafka, amqp, nats, postgres })[source]().catch((error) => {
    console.error(error);
    process.exit(1);
});
