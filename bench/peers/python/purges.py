# SPDX-License-Identifier: MIT
"""Celery:  REDIS=… SINK=… CA=… python3 -m celery -A purges worker -P threads -c 32
            REDIS=… python3 purges.py COUNT PREFIX
RATE is in Celery's format, for example "1668/m"."""
import os
import sys
import threading
import time

import celery
import requests

app = celery.Celery("purges", broker=os.environ["REDIS"])
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=4, task_acks_late=True,
                broker_connection_retry_on_startup=True)
sessions = threading.local()


@app.task(name="purges.purge", rate_limit=os.environ.get("RATE"))
def purge(target):
    if not hasattr(sessions, "session"):
        sessions.session = requests.Session()
        sessions.session.verify = os.environ["CA"]
    reply = sessions.session.post(f"{os.environ['SINK']}/purge/{target}",
                                  headers={"Fastly-Key": "token"})
    reply.raise_for_status()


if __name__ == "__main__":
    print(time.time())
    with app.producer_pool.acquire() as producer:
        for i in range(int(sys.argv[1])):
            purge.apply_async((f"{sys.argv[2]}{i}",), producer=producer)
