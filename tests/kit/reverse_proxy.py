"""A proxy that ends TLS in front of a server, with the headers of config/nginx.conf.example."""

import re
import select
import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
CERTIFICATE = ROOT / "tests" / "integration" / "localhost.pem"
EXAMPLE = ROOT / "config" / "nginx.conf.example"


def example_headers():
    """What nginx is told to send: a list of name and value, for each location."""
    locations = EXAMPLE.read_text("utf-8").split("    location ")[1:]
    return [
        re.findall(r"^ +proxy_set_header (\S+) (\S+);$", location, re.MULTILINE)
        for location in locations
    ]


class Proxy(socketserver.ThreadingTCPServer):
    """Passes each connection's one request on, and then whatever goes either way.

    Args:
        port: of the server behind it.
        headers: `proxy_set_header`'s names and values.
        tls: whether clients speak TLS with it.
    """

    daemon_threads = False
    block_on_close = True

    def __init__(self, port, headers, *, tls):
        super().__init__(("127.0.0.1", 0), _Passing)
        self.behind = ("127.0.0.1", port)
        self.headers = headers
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(CERTIFICATE)
        self.port = self.server_address[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"


class _Passing(socketserver.BaseRequestHandler):
    def handle(self):
        context = self.server.context
        with suppress(OSError):
            client = context.wrap_socket(self.request, server_side=True) if context else None
            with client or self.request as client:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += (chunk := client.recv(65_536))
                    if not chunk:
                        return
                self._pass_on(client, *received.split(b"\r\n\r\n", 1))

    def _pass_on(self, client, head, rest):
        with socket.create_connection(self.server.behind) as server:
            server.sendall(self._rewritten(head.decode("latin-1")) + rest)
            waiting = [client, server]
            while True:
                # What TLS has read already does not make its socket readable.
                has_more = isinstance(client, ssl.SSLSocket) and client.pending()
                ready = [client] if has_more else select.select(waiting, [], [])[0]
                if client in ready:
                    data = client.recv(65_536)
                    if data:
                        server.sendall(data)
                    else:
                        waiting.remove(client)
                        server.shutdown(socket.SHUT_WR)
                if server in ready:
                    data = server.recv(65_536)
                    if not data:
                        return
                    client.sendall(data)

    def _rewritten(self, head):
        request, *lines = head.split("\r\n")
        sent = [tuple(line.split(": ", 1)) for line in lines]
        known = {name.lower(): value for name, value in sent}
        forwarded = known.get("x-forwarded-for")
        peer = self.client_address[0]
        values = {
            "$http_host": known["host"],
            "$remote_addr": peer,
            "$proxy_add_x_forwarded_for": f"{forwarded}, {peer}" if forwarded else peer,
            "$scheme": "https" if self.server.context else "http",
            "$http_upgrade": known.get("upgrade", ""),
            # One request a connection, where nginx would keep it.
            "$xwe_connection": "upgrade" if "upgrade" in known else "close",
        }
        replaced = {name.lower() for name, _ in self.server.headers}
        kept = [(name, value) for name, value in sent if name.lower() not in replaced]
        added = [(name, values[value]) for name, value in self.server.headers if values[value]]
        return "\r\n".join([request, *map(": ".join, kept + added), "", ""]).encode("latin-1")


@contextmanager
def proxy(port, headers, *, tls=True):
    """A proxy in front of the server on `port`."""
    with Proxy(port, headers, tls=tls) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,), name="proxy")
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()
