"""Carry the same requests through us and through nginx's proxy_pass, turn about: `python -m bench.proxy`."""

import json
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.parts import answered, measured, python, running, wrk
from waitroom.kernel.embedded import server_binary
from waitroom.kernel.ports import free_loopback

LARGE_BYTES = 100 * 1024 * 1024

_NGINX = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on; open_file_cache max=10;
  client_body_temp_path {folder}/{name}1; proxy_temp_path {folder}/{name}2; fastcgi_temp_path {folder}/{name}3;
  uwsgi_temp_path {folder}/{name}4; scgi_temp_path {folder}/{name}5; proxy_max_temp_file_size 0;
  upstream store {{ server {origin}; keepalive 64; keepalive_requests 1000000000; }}
  server {{ listen {listen}; root {folder}/files;
    location /drop/ {{ {what} }}
  }}
}}
"""
_PASS = 'proxy_pass http://store; proxy_http_version 1.1; proxy_set_header Connection "";'
_OURS = """
[edge]
listen = "{listen}"
workers = 1
[ops]
listen = "{ops}"
[[upstreams]]
name = "store"
url = "http://{origin}"
[[rooms]]
name = "drop"
paths = ["/drop/"]
queueing_method = "passthrough"
"""


def compared(folder: Path, *, rounds: int, seconds: int) -> dict[str, object]:
    """Return CPU per request of 2 KB and per download of 100 MB, ours and nginx's."""
    files = folder / "files" / "drop"
    files.mkdir(parents=True)
    (files / "small").write_bytes(b"x" * 2048)
    (files / "large").write_bytes(b"x" * LARGE_BYTES)
    origin, theirs, ours, socket = free_loopback(), free_loopback(), free_loopback(), folder / "valkey.sock"
    for name, listen, what in (("origin", origin, ""), ("peer", theirs, _PASS)):
        text = _NGINX.format(folder=folder, name=name, listen=listen, origin=origin, what=what)
        (folder / f"{name}.conf").write_text(text)
    (folder / "waitroom.toml").write_text(_OURS.format(listen=ours, ops=free_loopback(), origin=origin))
    with ExitStack() as stack:
        stack.enter_context(running(["nginx", "-c", str(folder / "origin.conf")], cwd=folder))
        master = stack.enter_context(running(["nginx", "-c", str(folder / "peer.conf")], cwd=folder))
        valkey = [server_binary(), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
        stack.enter_context(running(valkey, cwd=folder))
        secrets = {"WAITROOM_SECRET": "a-secret-for-the-bench-32-or-longer!", "REDIS_URL": f"unix://{socket}"}
        serve = python("waitroom", "_worker", "-c", str(folder / "waitroom.toml"))
        worker = stack.enter_context(running(serve, cwd=folder, environment=secrets))
        for listen in (theirs, ours):
            answered(f"http://{listen}/drop/small")
        nginx = int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])
        found: dict[str, object] = {}
        for name in ("small", "large"):
            pairs = []
            for _ in range(rounds):
                us = _cost(worker, f"http://{ours}/drop/{name}", seconds, is_large=name == "large")
                peer = _cost(nginx, f"http://{theirs}/drop/{name}", seconds, is_large=name == "large")
                pairs.append((us, peer))
            found[name] = {
                "waitroom_cpu_us": round(median(us for us, _ in pairs), 1),
                "nginx_cpu_us": round(median(peer for _, peer in pairs), 1),
                "ratio": round(median(us / peer for us, peer in pairs), 2),
            }
    return found


def _cost(pid: int, url: str, seconds: int, *, is_large: bool) -> float:
    load = (lambda: _downloads(url, 3)) if is_large else (lambda: wrk(url, seconds=seconds))
    return measured({"proxy": pid}, load).cpu_us("proxy")


def _downloads(url: str, count: int) -> int:
    for _ in range(count):
        with urllib.request.urlopen(url) as answer:
            taken = 0
            while piece := answer.read(1 << 20):
                taken += len(piece)
            assert taken == LARGE_BYTES
    return count


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as made:
        Path(made).chmod(0o755)  # nginx's worker is another user when we are root
        quick = "--quick" in sys.argv
        print(json.dumps(compared(Path(made), rounds=1 if quick else 5, seconds=1 if quick else 3), indent=2))
