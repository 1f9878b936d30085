"""What Flower does beyond its own options. It reads this file by itself, from the folder it is started in."""

from __future__ import annotations

from flower.views.monitor import Metrics
from tornado.options import options
from tornado.web import authenticated

from logs import set_up_logging

# Whoever sees Flower sees who works at what, and can stop it.
if not all(options.basic_auth or [""]):
    raise SystemExit("Flower cannot start: FLOWER_BASIC_AUTH: expected user:password")

# On its own Flower shows these to everybody who reaches its port, password or not. A scraper can have the password.
Metrics.get = authenticated(Metrics.get)

# The lines of this process, in the same form as all others, and without secrets.
set_up_logging()
