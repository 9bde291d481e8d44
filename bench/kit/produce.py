# SPDX-License-Identifier: MIT
"""Sends single messages to a topic of Kafka, at once: kcat waits until 1,024 bytes are there."""
import ctypes

PRODUCER = 0
ANY_PARTITION = -1
COPY = 2
PATIENCE_MS = 10000

kafka = ctypes.CDLL("librdkafka.so.1")
handle, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t


def declared(name, result, *arguments):
    function = getattr(kafka, "rd_kafka_" + name)
    function.restype, function.argtypes = result, arguments
    return function


new_conf = declared("conf_new", handle)
conf_set = declared("conf_set", number, handle, text, text, text, size)
new_client = declared("new", handle, number, handle, text, size)
new_topic = declared("topic_new", handle, handle, text, handle)
produce = declared("produce", number, handle, ctypes.c_int32, number, text, size, handle, size, handle)
poll = declared("poll", number, handle, number)
flush = declared("flush", number, handle, number)
destroy_topic = declared("topic_destroy", None, handle)
destroy = declared("destroy", None, handle)


class Producer:
    def __init__(self, address, topic):
        why, conf = ctypes.create_string_buffer(512), new_conf()
        for name, value in ("bootstrap.servers", address), ("linger.ms", "0"):
            assert conf_set(conf, name.encode(), value.encode(), why, len(why)) == 0, why.value
        self.client = new_client(PRODUCER, conf, why, len(why))
        assert self.client, why.value
        self.topic = new_topic(self.client, topic.encode(), None)

    def send(self, message):
        body = message.encode()
        assert produce(self.topic, ANY_PARTITION, COPY, body, len(body), None, 0, None) == 0
        poll(self.client, 0)

    def close(self):
        assert flush(self.client, PATIENCE_MS) == 0
        destroy_topic(self.topic)
        destroy(self.client)
