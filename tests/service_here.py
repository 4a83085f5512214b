"""A client's way to a search service in this process: the real application, without a port."""

from contextlib import ExitStack

import httpx2
from anyio.from_thread import start_blocking_portal

from tardif.serving.application import create_app
from tardif.serving.served_index import ServedIndex
from tardif.serving.service_options import ServiceOptions
from worker_here import WorkerHere

ADDRESS = "http://127.0.0.1:8000"


def answer_clients(patch, transport):
    """Have all clients of HTTP answered by what ``transport()`` gives.

    By a class: a library that is imported for the first time meanwhile may derive a client of its own.
    """

    class Answered(httpx2.Client):
        def __init__(self, **how):
            super().__init__(**how | {"transport": transport()})

    patch.setattr(httpx2, "Client", Answered)


class ServiceHere(httpx2.BaseTransport):
    """Serves folders by their names: ``Client(ADDRESS, transport=ServiceHere({"support": folder}))``.

    Documents are encoded in threads of the test. Closing the client closes the indexes.
    """

    def __init__(self, folders, *, token=None, read_only=False):
        indexes = {name: ServedIndex.open(folder, name=name, read_only=read_only) for name, folder in folders.items()}
        for name, index in indexes.items():
            index._worker = WorkerHere(folders[name])
        app = create_app(indexes, ServiceOptions(token=token))
        self._running = ExitStack()
        self._loop = self._running.enter_context(start_blocking_portal())
        self._running.enter_context(self._loop.wrap_async_context_manager(app.router.lifespan_context(app)))
        self._transport = httpx2.ASGITransport(app)

    def handle_request(self, request):
        return self._loop.call(self._answer, request)

    async def _answer(self, request):
        answer = await self._transport.handle_async_request(request)
        return httpx2.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

    def close(self):
        self._running.close()
