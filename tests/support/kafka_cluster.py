#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Kafka broker on loopback for tests: librdkafka's mock cluster, with one topic. Prints its address, and runs until it
is stopped.

    kafka_cluster.py TOPIC

It speaks Kafka's protocol, and keeps messages, groups and offsets in memory, at most 5 MB per partition:
https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h
"""
import ctypes
import signal
import sys

PRODUCER = 0


def declared(library, name, result, *arguments):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


def main(topic):
    kafka = ctypes.CDLL("librdkafka.so.1")
    handle, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
    new_client = declared(kafka, "rd_kafka_new", handle, number, handle, text, size)
    new_cluster = declared(kafka, "rd_kafka_mock_cluster_new", handle, handle, number)
    new_topic = declared(kafka, "rd_kafka_mock_topic_create", number, handle, text, number, number)
    addresses = declared(kafka, "rd_kafka_mock_cluster_bootstraps", text, handle)
    why = ctypes.create_string_buffer(512)
    client = new_client(PRODUCER, None, why, len(why))
    cluster = client and new_cluster(client, 1)
    if not cluster or new_topic(cluster, topic.encode(), 1, 1) != 0:
        sys.exit("no cluster: " + why.value.decode())
    print(addresses(cluster).decode(), flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
