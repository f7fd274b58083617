"""The four proxies of the matrix: nginx, HAProxy and Caddy as they come, and ours; each a process of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.matrix.origin import Origin
from waitroom.kernel.ports import free_loopback

ROOT = Path(__file__).parents[2]

_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{origin};
      proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection "";
    }}
  }}
}}
"""
_HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend shop
  bind 127.0.0.1:{port}
  default_backend origin
backend origin
  server origin 127.0.0.1:{origin}
"""
_CADDY = """
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{origin}
}}
"""
_OURS = """
[edge]
listen = "127.0.0.1:{port}"
workers = 1
max_body = "4GiB"
drain_timeout = "2s"
hot_path = {hot_path}
[ops]
listen = "127.0.0.1:{ops}"
[[upstreams]]
name = "store"
url = "http://127.0.0.1:{origin}"
[[rooms]]
name = "open"
hosts = ["shop.example"]
paths = ["/"]
queueing_method = "passthrough"
[[rooms]]
name = "queue"
hosts = ["queue.example"]
paths = ["/"]
[[rooms.events]]
name = "opening"
prequeue_start_time = 2020-01-01T00:00:00Z
event_start_time = 2099-01-01T00:00:00Z
event_end_time = 2099-01-02T00:00:00Z
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One that listens."""

    name: str
    port: int
    origin: Origin


@contextmanager
def nginx(folder: Path, origin: Origin) -> Iterator[Proxy]:
    """Run nginx."""
    port, config = free_loopback().port, folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, origin=origin.port))
    with _running([binary("nginx"), "-c", str(config)], folder, port):
        yield Proxy("nginx", port, origin)


@contextmanager
def haproxy(folder: Path, origin: Origin) -> Iterator[Proxy]:
    """Run HAProxy."""
    port, config = free_loopback().port, folder / "haproxy.cfg"
    config.write_text(_HAPROXY.format(port=port, origin=origin.port))
    with _running([binary("haproxy"), "-db", "-f", str(config)], folder, port):
        yield Proxy("haproxy", port, origin)


@contextmanager
def caddy(folder: Path, origin: Origin) -> Iterator[Proxy]:
    """Run Caddy."""
    port, config = free_loopback().port, folder / "Caddyfile"
    config.write_text(_CADDY.format(port=port, origin=origin.port))
    command = [binary("caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]
    with _running(command, folder, port, HOME=str(folder), XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder)):
        yield Proxy("caddy", port, origin)


@contextmanager
def ours(folder: Path, origin: Origin, redis_url: str, *, hot_path: bool = True) -> Iterator[Proxy]:
    """Run one worker of waitroom."""
    with ours_before(folder, origin.port, redis_url, hot_path=hot_path) as (port, _):
        yield Proxy("waitroom", port, origin)


@contextmanager
def ours_before(folder: Path, origin_port: int, redis_url: str, *, hot_path: bool = True) -> Iterator[tuple[int, int]]:
    """Run one worker of waitroom before a port of this machine; give its own port and its pid."""
    port, config = free_loopback().port, folder / "waitroom.toml"
    is_hot = str(hot_path).lower()
    config.write_text(_OURS.format(port=port, ops=free_loopback().port, origin=origin_port, hot_path=is_hot))
    command = [sys.executable, "-m", "waitroom", "_worker", "-c", str(config)]
    secret = "the-secret-of-the-matrix-is-32-or-longer"
    environment = {"PYTHONPATH": str(ROOT), "WAITROOM_SECRET": secret, "REDIS_URL": redis_url}
    with _running(command, folder, port, **environment) as pid:
        yield port, pid


def binary(name: str) -> str:
    """Return where a peer lies; skip, loudly, where there is none."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None and os.environ.get("CI"):
        pytest.fail(f"no {name} on this machine: apt-get install {name}")
    if found is None:
        pytest.skip(f"NO MATRIX: apt-get install {name}")
    return found


@contextmanager
def _running(command: list[str], folder: Path, port: int, **environment: str) -> Iterator[int]:
    log = folder / "output.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            command, cwd=folder, stdout=written, stderr=written, env={**os.environ, **environment}
        )
    try:
        late_s = time.monotonic() + 60
        while not _listens(port):
            assert process.poll() is None, log.read_text("utf-8", "replace")
            assert time.monotonic() < late_s, log.read_text("utf-8", "replace")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
