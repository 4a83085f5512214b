"""An HTTP server on this machine, in a thread of its own."""

import threading
from http.server import ThreadingHTTPServer


class LocalServer:
    """Answers by ``handler``, a class of ``http.server``, until it is closed; ``waits``: after its last answer."""

    def __init__(self, handler, path="", *, waits=False):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = not waits
        self.url = f"http://127.0.0.1:{self.server.server_port}{path}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
