# SPDX-License-Identifier: MIT
"""What Python programs need of librdkafka: https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka.h"""
import ctypes

PRODUCER, CONSUMER = 0, 1

handle, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
kafka = ctypes.CDLL("librdkafka.so.1")
why = ctypes.create_string_buffer(512)


def declared(name, result, *arguments):
    """The function rd_kafka_<name>."""
    function = getattr(kafka, "rd_kafka_" + name)
    function.restype, function.argtypes = result, arguments
    return function


new_conf = declared("conf_new", handle)
conf_set = declared("conf_set", number, handle, text, text, text, size)
new = declared("new", handle, number, handle, text, size)


def new_client(kind, **properties):
    """`kind` is PRODUCER or CONSUMER; in the names of properties, _ stands for a dot."""
    conf = new_conf()
    for name, value in properties.items():
        assert conf_set(conf, name.replace("_", ".").encode(), value.encode(), why, len(why)) == 0, why.value
    client = new(kind, conf, why, len(why))
    assert client, why.value
    return client
