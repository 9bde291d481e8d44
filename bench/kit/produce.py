# SPDX-License-Identifier: MIT
"""Sends single messages to a topic of Kafka, at once: kcat waits until 1,024 bytes are there."""
import ctypes
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../tests/support"))
from librdkafka import PRODUCER, declared, handle, new_client, number, size, text  # noqa: E402

ANY_PARTITION = -1
COPY = 2
PATIENCE_MS = 10000

new_topic = declared("topic_new", handle, handle, text, handle)
produce = declared("produce", number, handle, ctypes.c_int32, number, text, size, handle, size, handle)
poll = declared("poll", number, handle, number)
flush = declared("flush", number, handle, number)
destroy_topic = declared("topic_destroy", None, handle)
destroy = declared("destroy", None, handle)


class Producer:
    def __init__(self, address, topic):
        self.client = new_client(PRODUCER, bootstrap_servers=address, linger_ms="0")
        self.topic = new_topic(self.client, topic.encode(), None)

    def send(self, message):
        body = message.encode()
        assert produce(self.topic, ANY_PARTITION, COPY, body, len(body), None, 0, None) == 0
        poll(self.client, 0)

    def close(self):
        assert flush(self.client, PATIENCE_MS) == 0
        destroy_topic(self.topic)
        destroy(self.client)
