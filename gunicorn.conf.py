"""What gunicorn refuses before the app sees it, however it is started: it reads this file by itself."""

# Who is calling, and whether over https, is believed from TRUSTED_PROXIES alone (web/requests.py). gunicorn on its own
# would take the word of everybody on this machine, and of what FORWARDED_ALLOW_IPS names, for the scheme and the path.
forwarded_allow_ips = ""
forwarder_headers = ""

# The longest line a request may begin with, the most headers, and the longest of them, in bytes. An access token has
# some 400, and so a header of 8 KB leaves room for what proxies and tracers add.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

# A header with an underscore would look to the app like the one with a dash.
header_map = "drop"


def on_starting(server: object) -> None:
    """Before there is any process that serves: they all count in the files of one folder."""
    import counters

    counters.record_for("web")


def worker_exit(server: object, worker: object) -> None:
    """What a process has to tell of itself is told before it ends."""
    import sys

    import tracing

    tracing.close()
    if reporting := sys.modules.get("reporting"):
        reporting.close()


def post_worker_init(worker: object) -> None:
    """Once the app is there: a process that is to end sends away who waits in it, rather than wait for them."""
    from web import waiting

    waiting.leave_at_the_end()
