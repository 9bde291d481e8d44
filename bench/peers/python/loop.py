# SPDX-License-Identifier: MIT
"""The usual script: SERVICE=https://…/service/ID CA=… python3 loop.py COUNT KEYS_PER_REQUEST
It sends one request after the other over one connection. A refused request is counted and not repeated."""
import os
import sys

import requests

count, per_request = int(sys.argv[1]), int(sys.argv[2])
session = requests.Session()
session.verify = os.environ["CA"]
session.headers["Fastly-Key"] = "token"
refused = 0
for first in range(0, count, per_request):
    keys = [f"article-{i}" for i in range(first, min(first + per_request, count))]
    if per_request == 1:
        reply = session.post(f"{os.environ['SERVICE']}/purge/{keys[0]}")
    else:
        reply = session.post(f"{os.environ['SERVICE']}/purge", headers={"Surrogate-Key": " ".join(keys)})
    refused += reply.status_code != 200
print(refused)
