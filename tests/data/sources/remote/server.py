"""A real HTTP server on loopback, with ranges, that can cut connections, wait, and send wrong bytes."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(ThreadingHTTPServer):
    """Serves a folder. `faults` holds what goes wrong with the next requests: "cut", "wrong", "slow" or "busy"."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.faults = folder, dict[str, list[str]]()
        self.requests, self.sent = Counter[str](), Counter[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address) -> None:
        """Say nothing of clients that were killed."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        name = self.path.lstrip("/")
        path = self.server.folder / name
        faults = self.server.faults.get(name, [])
        fault = faults.pop(0) if faults and with_body else ""
        self.close_connection = True  # a stopped server answers nobody
        if not path.is_file() or fault == "busy":
            self.send_response(503 if fault else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = path.read_bytes()
        first, stop = 0, len(content)
        if wanted := self.headers.get("Range"):
            low, _, high = wanted.removeprefix("bytes=").partition("-")
            first, stop = int(low), min(int(high) + 1, stop) if high else stop
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(stop - first))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{len(content)}")
        self.end_headers()
        if not with_body:
            return
        self.server.requests[name] += 1
        body = content[first:stop]
        if fault == "wrong":
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault == "slow":
            for start in range(0, len(body), max(len(body) // 5, 1)):
                self.wfile.write(body[start : start + max(len(body) // 5, 1)])
                self.wfile.flush()
                time.sleep(0.1)
        elif fault == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        else:
            self.wfile.write(body)
        self.server.sent[name] += len(body)


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
