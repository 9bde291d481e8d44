#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Kafka broker on loopback for tests: librdkafka's mock cluster, with one topic. Prints its address, and runs until it
is stopped.

    kafka_cluster.py TOPIC [PARTITIONS]

It speaks Kafka's protocol, and keeps messages, groups and offsets in memory, at most 5 MB per partition:
https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h

It has neither users, permissions nor TLS. Commands from standard input, one per line; each is answered with one line of
JSON:

    down              the broker closes its connections, and accepts none
    up                it accepts them again
    error CODE        clients that ask for the topic are told this; 0: nothing
    delay MS          it takes this long to answer
    refuse API CODE N the next N requests with this number of the protocol are answered with an error
    accept API        and no more from now on
    committed GROUP   for each partition, the offset that the group has committed; -1001: none
"""
import ctypes
import json
import signal
import sys

from librdkafka import CONSUMER, PRODUCER, declared, handle, new_client, number, size, text

PATIENCE_MS = 60000


class Partition(ctypes.Structure):
    _fields_ = [("topic", ctypes.c_char_p), ("partition", ctypes.c_int32), ("offset", ctypes.c_int64),
                ("metadata", ctypes.c_void_p), ("metadata_size", ctypes.c_size_t), ("opaque", ctypes.c_void_p),
                ("err", ctypes.c_int), ("private", ctypes.c_void_p)]


class Partitions(ctypes.Structure):
    _fields_ = [("count", ctypes.c_int), ("size", ctypes.c_int), ("elements", ctypes.POINTER(Partition))]


new_list = declared("topic_partition_list_new", ctypes.POINTER(Partitions), number)
list_add = declared("topic_partition_list_add", handle, ctypes.POINTER(Partitions), text, ctypes.c_int32)
list_destroy = declared("topic_partition_list_destroy", None, ctypes.POINTER(Partitions))
ask_committed = declared("committed", number, handle, ctypes.POINTER(Partitions), number)
new_cluster = declared("mock_cluster_new", handle, handle, number)
new_topic = declared("mock_topic_create", number, handle, text, number, number)
addresses = declared("mock_cluster_bootstraps", text, handle)
set_down = declared("mock_broker_set_down", number, handle, ctypes.c_int32)
set_up = declared("mock_broker_set_up", number, handle, ctypes.c_int32)
set_delay = declared("mock_broker_set_rtt", number, handle, ctypes.c_int32, number)
set_error = declared("mock_topic_set_error", None, handle, text, number)
clear_errors = declared("mock_clear_request_errors", None, handle, ctypes.c_int16)
push_errors = declared("mock_push_request_errors_array", None, handle, ctypes.c_int16, size, ctypes.POINTER(number))


class Cluster:
    def __init__(self, topic, partitions="1"):
        self.topic, self.partitions, self.members = topic.encode(), int(partitions), {}
        self.cluster = new_cluster(new_client(PRODUCER), 1)
        if not self.cluster or new_topic(self.cluster, self.topic, self.partitions, 1) != 0:
            sys.exit("no cluster")
        self.address = addresses(self.cluster).decode()

    def down(self):
        return set_down(self.cluster, -1)

    def up(self):
        return set_up(self.cluster, -1)

    def error(self, code):
        return set_error(self.cluster, self.topic, int(code))

    def delay(self, ms):
        return set_delay(self.cluster, -1, int(ms))

    def refuse(self, api, code, times):
        return push_errors(self.cluster, int(api), int(times), (number * int(times))(*[int(code)] * int(times)))

    def accept(self, api):
        return clear_errors(self.cluster, int(api))

    def member(self, group):
        """A client that only asks."""
        return new_client(CONSUMER, bootstrap_servers=self.address, group_id=group)

    def committed(self, group):
        if group not in self.members:
            self.members[group] = self.member(group)
        asked = new_list(self.partitions)
        for nth in range(self.partitions):
            list_add(asked, self.topic, nth)
        code = ask_committed(self.members[group], asked, PATIENCE_MS)
        offsets = [asked.contents.elements[nth].offset for nth in range(self.partitions)]
        list_destroy(asked)
        assert code == 0, code
        return offsets


def main(*words):
    cluster = Cluster(*words)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        name, *values = line.split()
        print(json.dumps(getattr(cluster, name)(*values)), flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
