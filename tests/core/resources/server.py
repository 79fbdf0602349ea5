"""A real HTTP server on loopback with ranges, versions and redirects, and faults that a test plans for each request."""

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `files`. `faults[name]` holds what happens to the next requests for it, in turn; "" for nothing.

    Faults: a number (of an HTTP status), "cut" (half of the body, then the connection is closed), "short" (half of the
    body, said to be all), "wrong" (one bit differs), "slow" (in 20 pieces with pauses), "change" (another content from
    now on), "noranges" (the whole body with status 200), "badrange" (a range that wasn't asked for), "drip:N" (N bytes
    per 10 ms).
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.redirects = dict[str, bytes](), dict[str, str]()
        self.faults = defaultdict[str, list](list)
        self.requests = list[tuple[str, str | None, int]]()
        self.with_etags = True

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

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in {"Connection": "close", "X-Repo-Commit": "0" * 40, **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.close_connection = True

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        wanted = self.headers.get("Range")
        fault = self.server.faults[name].pop(0) if self.server.faults[name] else ""
        if fault == "change":
            self.server.files[name] = bytes(reversed(self.server.files[name]))
        self.server.requests.append((name, wanted, len(self.server.requests)))
        if name in self.server.redirects:
            return self.head(302, Location=self.server.redirects[name], Content_Length=0)
        if isinstance(fault, int) or name not in self.server.files:
            return self.head(fault or 404, Content_Length=0, X_Error_Code="EntryNotFound")  # as the Hub says it
        body = self.server.files[name]
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        if fault == "noranges" or self.headers.get("If-Range", etag) != etag:
            wanted = None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        versions = {"ETag": etag} if self.server.with_etags else {}
        if start >= len(body) and wanted:
            return self.head(416, Content_Length=0, Content_Range=f"bytes */{len(body)}")
        total = len(body)
        body = body[start:]
        if fault == "short":
            body = body[: len(body) // 2]
        if wanted:
            versions["Content_Range"] = f"bytes {start + (fault == 'badrange')}-{total - 1}/{total}"
        self.head(206 if wanted else 200, Content_Length=len(body), **versions)
        return self.send(body, fault) if self.command == "GET" else None

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def send(self, body: bytes, fault: str) -> None:
        size = len(body)
        if fault == "wrong":
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault == "cut":
            body = body[: size // 2]
        piece = {"slow": size // 20 + 1}.get(fault, int(fault[5:]) if fault.startswith("drip") else max(size, 1))
        for start in range(0, len(body), piece):
            self.wfile.write(body[start : start + piece])
            self.wfile.flush()
            if piece < size:
                time.sleep(0.01)


@contextmanager
def serve() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
