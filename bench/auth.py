"""The verdict for somebody else's proxy on a visitor who is inside, beside an nginx that says yes to everybody."""

from pathlib import Path
from statistics import median

from bench.gate import SECRET, worker
from bench.parts import answered, measured, running, wrk
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.tokens import Keys, Pass, PassSigner

_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen {listen}; location / {{ return 200; }} }}
}}
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


def verdicts(folder: Path, *, rounds: int, seconds: int) -> dict[str, object]:
    """Return CPU per request of one verdict that says yes, ours and nginx's, turn about."""
    with worker(folder) as (url, pids):
        listen = free_loopback()
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, listen=listen))
        now_ms = SystemClock().now_ms()
        pass_ = PassSigner(Keys([SECRET.encode()])).sign(
            Pass("drop", "a-session-of-20-chars", now_ms, now_ms + 300_000)
        )
        headers = {**_QUESTION, "Cookie": f"lang=en; wr_drop_pass={pass_}"}
        with running(["nginx", "-c", str(folder / "nginx.conf")], cwd=folder) as master:
            answered(f"http://{listen}/")
            peer = int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])
            found = {}
            for name, path in (("redirect", "/.waitroom/auth/redirect"), ("nginx", "/.waitroom/auth/nginx")):
                ours_us, theirs_us = [], []
                for _ in range(rounds):
                    ours = measured(
                        {"worker": pids["worker"]},
                        lambda: wrk(f"{url}{path}", seconds=seconds, headers=headers),  # noqa: B023 - called at once
                    )
                    ours_us.append(ours.cpu_us("worker"))
                    nginx = measured(
                        {"nginx": peer}, lambda: wrk(f"http://{listen}/", seconds=seconds, headers=headers)
                    )
                    theirs_us.append(nginx.cpu_us("nginx"))
                found[name] = {
                    "waitroom_cpu_us": round(median(ours_us), 1),
                    "nginx_cpu_us": round(median(theirs_us), 1),
                    "ratio": round(median(a / b for a, b in zip(ours_us, theirs_us, strict=True)), 2),
                }
    return dict(found)
