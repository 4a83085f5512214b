"""A chat endpoint on this machine, for tests of what asks one."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler

from local_server import LocalServer

KEY = "sk-very-secret-42"


def answer(content, usage=(10, 5)):
    reply = {"choices": [{"message": {"role": "assistant", "content": content}}]}
    if usage:
        reply["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return 200, json.dumps(reply).encode(), {}


def good(body):
    number = body["messages"][0]["content"].split("Harbour ")[1].split()[0]
    return answer(json.dumps([f"who built port {number}", f"port {number} history"]))


class Endpoint(LocalServer):
    """A chat endpoint on this machine; ``replies`` says what it answers, call by call, then ``good``."""

    def __init__(self):
        self.requests = []
        self.replies = []
        self.always = good
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.requests.append((self.path, dict(self.headers), body))
                    reply = outer.replies.pop(0) if outer.replies else outer.always
                status, raw, headers = reply(body) if callable(reply) else reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *args):
                pass

        super().__init__(Handler, "/v1", waits=True)


class RawEndpoint:
    """A server that writes what no library would: ``script(send)``, once it has read a request.

    ``cut`` is set where the other side had gone before the script had ended.
    """

    def __init__(self, script):
        self.requests = []
        self.arrived = threading.Semaphore(0)
        self.cut = threading.Event()
        self.done = threading.Event()
        self._script = script
        self._threads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            if self.done.is_set():
                connection.close()
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            lines = []
            while line := stream.readline().strip():
                lines.append(line)
            length = next((int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length")), 0)
            self.requests.append(b"\n".join(lines) + b"\n\n" + stream.read(length))
            self.arrived.release()
            try:
                self._script(connection.sendall)
            except OSError:
                self.cut.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.done.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._accepting.join()
        for thread in self._threads:
            thread.join()
        self._listener.close()
