"""What a crowd asks for, answered by one worker, by nginx and by HAProxy with the same bytes, turn about in one run."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from bench.parts import SECRET, answered, event_in_an_hour, measured, running, worker, wrk
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.tokens import Keys, Pass, PassSigner
from waitroom.kernel.units import Address

LARGE_BYTES = 100 * 1024 * 1024
HTML = "text/html,application/xhtml+xml"
_PULSE = "/.waitroom/drop/pulse"
_OURS = """
[edge]
listen = "{ours}"
workers = 1
trusted_proxies = ["127.0.0.0/8"]
[ops]
listen = "{ops}"
[[upstreams]]
name = "store"
url = "http://{store}"
[[rooms]]
name = "drop"
paths = ["/drop/"]
queueing_method = "random"
"""
_NGINX = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; open_file_cache max=10; sendfile on; tcp_nopush on;
  client_body_temp_path {folder}/{name}1; proxy_temp_path {folder}/{name}2; fastcgi_temp_path {folder}/{name}3;
  uwsgi_temp_path {folder}/{name}4; scgi_temp_path {folder}/{name}5; proxy_max_temp_file_size 0;
  upstream store {{ server {store}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen {listen};
    root {folder}/files;
    location = /pulse {{ types {{}} default_type application/json; etag off;
      add_header Cache-Control "public, max-age=1"; add_header ETag {etag}; }}
    location = /held {{ add_header ETag {etag}; return 304; }}
    location = /page {{ types {{}} default_type text/html; add_header Cache-Control no-store;
      add_header Content-Encoding br; }}
    location = /refused {{ default_type application/problem+json; add_header Retry-After 5 always;
      return 503 '{refusal}'; }}
    location = /yes {{ return 200; }}
    location /drop/ {{ {what} }}
  }}
}}
"""
_PASS_ON = 'proxy_pass http://store; proxy_http_version 1.1; proxy_set_header Connection "";'
_HAPROXY = """
global
  nbthread 1
  maxconn 1000
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend all
  bind {haproxy}
  http-request return status 200 content-type application/json file {folder}/files/pulse if {{ path /pulse }}
  acl page path /page
  acl refused path /refused
  http-request return status 200 content-type text/html file {folder}/files/page hdr Content-Encoding br if page
  http-request return status 503 content-type application/problem+json file {folder}/files/refused if refused
  http-request return status 200 if {{ path /yes }}
  default_backend store
backend store
  http-reuse always
  server store {store}
"""
_OWN_COOKIE = """
local number = 0
request = function()
  number = number + 1
  local told = {{["Accept"] = "{accepts}", ["Accept-Encoding"] = "br", ["Cookie"] = "seen=" .. number}}
  return wrk.format("GET", nil, told)
end
"""
_QUESTION = {
    "X-Forwarded-Method": "GET",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example",
    "X-Forwarded-Uri": "/drop/shoe?size=42",
    "X-Forwarded-For": "203.0.113.9",
    "Sec-Fetch-Mode": "navigate",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One thing a crowd asks for: where, of us and of the peers, and how."""

    name: str
    ours: str
    theirs: str
    headers: Mapping[str, str] = field(default_factory=dict)
    peers: tuple[str, ...] = ("nginx", "haproxy")
    is_own_cookie: bool = False
    is_refused: bool = False
    downloads: int = 0
    """Whole downloads of `LARGE_BYTES` in a round, one after the other, in place of a crowd."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Addresses and pids by name: waitroom, nginx, haproxy."""

    addresses: Mapping[str, Address]
    pids: Mapping[str, int]
    cases: tuple[Case, ...]


def compared(folder: Path, *, rounds: int, seconds: int) -> dict[str, object]:
    """Return CPU per request in µs of each case, ours and the peers', with the least and the most of the rounds."""
    with servers(folder) as found:
        return {case.name: _compared(found, case, folder, rounds=rounds, seconds=seconds) for case in found.cases}


def _compared(found: Servers, case: Case, folder: Path, *, rounds: int, seconds: int) -> dict[str, object]:
    costs: dict[str, list[float]] = {name: [] for name in ("waitroom", *case.peers)}
    script = folder / "own-cookie.lua"
    script.write_text(_OWN_COOKIE.format(accepts=case.headers.get("Accept", "*/*")))
    for _ in range(rounds):
        for name, cost in costs.items():
            path = case.ours if name == "waitroom" else case.theirs
            load = partial(_load, case, found.addresses[name], path, script=script, seconds=seconds)
            spent = measured({name: found.pids[name]}, load)
            assert spent.requests, f"{name} has answered nothing: {case.name}"
            cost.append(spent.cpu_us(name))
    told: dict[str, object] = {
        name: {"median": round(median(cost), 1), "least": round(min(cost), 1), "most": round(max(cost), 1)}
        for name, cost in costs.items()
    }
    ratios = {
        peer: round(median(a / b for a, b in zip(costs["waitroom"], costs[peer], strict=True)), 2)
        for peer in case.peers
    }
    return {"cpu_us": told, "ratio": ratios}


def _load(case: Case, address: Address, path: str, *, script: Path, seconds: int) -> int:
    if case.downloads:
        return _download(address, path, case)
    return wrk(
        f"http://{address}{path}",
        seconds=seconds,
        headers=case.headers,
        script=script if case.is_own_cookie else None,
        is_refused=case.is_refused,
    )


def _download(address: Address, path: str, case: Case) -> int:
    connection = HTTPConnection(address.host, address.port, timeout=60)
    for _ in range(case.downloads):
        connection.request("GET", path, headers=dict(case.headers))
        answer, taken = connection.getresponse(), 0
        while piece := answer.read(1 << 20):
            taken += len(piece)
        assert taken == LARGE_BYTES, answer.status
    connection.close()
    return case.downloads


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Run a worker, the peers with the very bytes that it answers, and the store behind all of them."""
    names = ("ours", "ops", "store", "nginx", "haproxy")
    at = {name: free_loopback() for name in names}
    files = folder / "files"
    (files / "drop").mkdir(parents=True)
    for name, size in (("small", 2048), ("medium", 100 * 1024), ("large", LARGE_BYTES)):
        (files / "drop" / name).write_bytes(b"x" * size)
    with ExitStack() as stack:
        written = {"folder": folder, "store": at["store"], "etag": "x", "refusal": "{}"}
        (folder / "store.conf").write_text(_NGINX.format(**written, name="store", listen=at["store"], what=""))
        stack.enter_context(running(["nginx", "-c", str(folder / "store.conf")], cwd=folder))
        ours = stack.enter_context(worker(folder, at["ours"], _OURS.format(**at) + event_in_an_hour()))
        (files / "pulse").write_bytes(answered(f"http://{at['ours']}{_PULSE}"))
        (files / "page").write_bytes(answered(f"http://{at['ours']}/drop/", accepts=HTML))
        refusal = '{"type": "urn:waitroom:problem:waiting", "detail": "' + "x" * 330 + '"}'
        (files / "refused").write_text(refusal)
        written |= {"refusal": refusal, "etag": '"33c916f744c1ef65b0b96e1c-br"'}
        (folder / "peer.conf").write_text(_NGINX.format(**written, name="peer", listen=at["nginx"], what=_PASS_ON))
        (folder / "haproxy.cfg").write_text(_HAPROXY.format(folder=folder, **at))
        master = stack.enter_context(running(["nginx", "-c", str(folder / "peer.conf")], cwd=folder))
        haproxy = stack.enter_context(running(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], cwd=folder))
        for name in ("nginx", "haproxy"):
            answered(f"http://{at[name]}/yes")
        nginx = int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])
        pids = {"waitroom": ours.pid, "nginx": nginx, "haproxy": haproxy}
        yield Servers({"waitroom": at["ours"], "nginx": at["nginx"], "haproxy": at["haproxy"]}, pids, _cases())


def _cases() -> tuple[Case, ...]:
    now_ms = SystemClock().now_ms()
    signer = PassSigner(Keys([SECRET.encode()]))
    # young for as long as this takes: a browser keeps the renewed pass that it is given, the load does not
    pass_ = signer.sign(Pass("drop", "a-session-of-20-chars", now_ms, now_ms + 86_400_000))
    inside = {"Cookie": f"lang=en; wr_drop_pass={pass_}"}
    page = {"Accept": HTML}
    return (
        Case("pulse", _PULSE, "/pulse"),
        Case("pulse, a cookie each", _PULSE, "/pulse", is_own_cookie=True),
        Case("waiting page, brotli", "/drop/", "/page", page),
        Case("waiting page, a cookie each", "/drop/", "/page", page, is_own_cookie=True),
        Case("JSON: there is a line", "/drop/", "/refused", is_refused=True),
        Case("forward auth, nginx: yes", "/.waitroom/auth/nginx", "/yes", _QUESTION | inside),
        Case("forward auth, redirect: yes", "/.waitroom/auth/redirect", "/yes", _QUESTION | inside),
        Case("proxied GET of 2 KB", "/drop/small", "/drop/small", inside),
        Case("proxied GET of 100 KB", "/drop/medium", "/drop/medium", inside),
        Case("download of 100 MB", "/drop/large", "/drop/large", inside, downloads=3),
    )
