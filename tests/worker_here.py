"""The process that encodes documents, as threads of the test: a new process would import torch for seconds."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from tardif.serving.document_worker import Worker
from tardif.serving.served_index import ServedIndex
from tardif.serving.worker_process import answer_with


def with_served(place, ask, **options):
    """What ``ask`` returns for a served index, which is closed."""

    async def run():
        served = ServedIndex.open(place, **options)
        served._worker = WorkerHere(place)
        try:
            return await ask(served)
        finally:
            await served.close()

    return asyncio.run(run())


class WorkerHere:
    """Stands in for :class:`tardif.serving.worker_process.WorkerProcess`: ``served._worker = WorkerHere(folder)``."""

    pid = None
    waiting = 0

    def __init__(self, folder):
        self._answers: dict[int, Future] = {}
        self._worker = Worker(folder, lambda number, *answer: answer_with(self._answers.pop(number), *answer))
        self._asked = 0

    async def ask(self, call, **arguments):
        self._asked += 1
        answer = self._answers[self._asked] = Future()
        self._worker.take([self._asked, call, arguments])
        return await asyncio.wrap_future(answer)

    async def close(self):
        await asyncio.to_thread(self._worker.close)
