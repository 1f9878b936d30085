"""How work runs, and the outside world: the Celery app, the relay, leases, AI providers, storage."""
