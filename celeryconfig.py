"""Celery's settings: broker, queues, routes, limits, beat schedule. Data, each line with its reason."""

from __future__ import annotations

from kombu import Exchange, Queue

from config import settings
from worker import rabbitmq

_settings = settings()
_on_rabbitmq = _settings.on_rabbitmq

# The broker carries wake-ups only; what a job came to is in the database, so there is no result backend.
broker_url = _settings.broker_url
task_ignore_result = True
result_backend = None
# JSON only: a pickle from a broker that somebody else can write to would be code.
task_serializer = "json"
accept_content = ["json"]
enable_utc = True
timezone = "UTC"

imports = (
    "tasks.generation",
    "tasks.maintenance",
    "tasks.retention",
    "tasks.email",
    "tasks.uploads",
    "tasks.outputs",
    "tasks.payments",
    "tasks.mock_payments",
)

# One queue for each way of waiting, so that a flood of one kind of work delays no other. Beat's own small tasks ride
# `maintenance`, also those that look after what other queues left lying; but what asks the gateway waits for it, and
# rides `payments`. Each has an exchange of its own: queues that share one would each get every message.
task_queues = [
    Queue(name, Exchange(name), routing_key=name, queue_arguments=dict(rabbitmq.ARGUMENTS) if _on_rabbitmq else None)
    for name in ("generation.high", "generation", "payments", "email", "maintenance")
]
task_default_queue = "maintenance"
task_create_missing_queues = False
task_routes = {
    "generation.*": {"queue": "generation"},
    "email.*": {"queue": "email"},
    "maintenance.*": {"queue": "maintenance"},
    "payments.*": {"queue": "payments"},
}

# A message is acknowledged when its task is over, so one that a killed worker had is delivered again. That is harmless,
# because a claim decides who runs a job, and it is only the second net: the first is the rescue of expired leases.
task_acks_late = True
task_reject_on_worker_lost = True
# A worker takes no more than it can run, so what it has not started stays with the broker for others.
worker_prefetch_multiplier = 1
_redis_transport_options: dict[str, object] = {
    # An unacknowledged message comes back after this long. It must outlast the longest attempt (asserted in
    # tests/unit/test_settings.py), or a slow job would be delivered while it still runs. RabbitMQ has a limit of its
    # own for that, consumer_timeout (docs/rabbitmq.md).
    "visibility_timeout": _settings.visibility_timeout_seconds,
    # A frozen broker must not freeze us: without these a publish hangs for over 40 s.
    "socket_timeout": 2.0,
    "socket_connect_timeout": 2.0,
    "socket_keepalive": True,
    "retry_on_timeout": False,
    "max_retries": 0,
    # Look for messages to restore every second, not every ten.
    "unacked_restore_throttle": 1,
}
broker_transport_options = rabbitmq.TRANSPORT_OPTIONS if _on_rabbitmq else _redis_transport_options
# Quorum queues know a prefetch count for each consumer only, not for the channel.
worker_detect_quorum_queues = True
# Only RabbitMQ has them, and only on a worker's own connections: a frozen broker is noticed when nobody sends anything.
broker_heartbeat = rabbitmq.HEARTBEAT_SECONDS
# RabbitMQ closes the channel of a worker that holds a message for longer than consumer_timeout, or whose queue somebody
# deletes: the worker connects again, as after a lost connection, rather than end.
broker_channel_error_retry = True
# A publish is tried once; the outbox tries again. But beat, which publishes by itself on one connection, makes that
# anew only with a second try; with Redis it has a pool of them.
task_publish_retry = _on_rabbitmq
task_publish_retry_policy = {"max_retries": 1, "interval_start": 0}
broker_connection_timeout = 2.0
# A worker waits for its broker for ever: it comes back by itself when the broker does.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_consumer = "worker.consumer:PersistentConsumer"
# After a lost connection running jobs go on; their leases are in the database, not with the broker.
worker_cancel_long_running_tasks_on_connection_loss = False
# The restart of a lost broker must not stop a worker from taking as many messages as before.
worker_enable_prefetch_count_reduction = False

# SIGTERM lets all that runs finish. SIGQUIT gives it this long; what is left is run again elsewhere.
worker_soft_shutdown_timeout = 20.0
worker_enable_soft_shutdown_on_idle = False

# Flower lives on these.
worker_send_task_events = True
task_send_sent_event = False
task_track_started = False
# Our own log set-up (logs.py) and no copy of standard output.
worker_hijack_root_logger = False
worker_redirect_stdouts = False


def _every(seconds: float, task: str, queue: str = "maintenance") -> dict[str, object]:
    # A beat message that no worker took before the next one is due has no use any more.
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds, 5.0), "queue": queue}}


beat_schedule = {
    "show that this is done": _every(15.0, "maintenance.sign_of_life"),
    "rescue silent jobs": _every(_settings.rescue_seconds, "maintenance.rescue"),
    "end jobs that waited too long": _every(5.0, "maintenance.expire_waiting"),
    "publish what a crash left in the outbox": _every(2.0, "maintenance.sweep_outbox"),
    "wake jobs whose message was lost": _every(5.0, "maintenance.wake_forgotten"),
    "call jobs that wait in line": _every(2.0, "maintenance.call_waiting"),
    "expire credits": _every(60.0, "maintenance.expire_credits"),
    "grant allowances": _every(_settings.allowance_seconds, "maintenance.grant_allowances"),
    "end plans": _every(60.0, "maintenance.end_plans"),
    "tell whose credits expire soon": _every(3600.0, "maintenance.notice_expiring"),
    "erase accounts that are closing": _every(30.0, "maintenance.close_accounts"),
    "take away uploads that are over": _every(300.0, "maintenance.clear_uploads"),
    "delete files that belong to no upload": _every(6 * 3600.0, "maintenance.delete_orphaned_uploads"),
    "delete outputs that were kept long enough": _every(300.0, "maintenance.delete_old_outputs"),
    "delete files that belong to no result": _every(6 * 3600.0, "maintenance.delete_orphaned_outputs"),
    "tell whose balance is low": _every(30.0, "maintenance.tell_low_balances"),
    "wake e-mails whose message was lost": _every(5.0, "email.wake_forgotten"),
    "forget old tokens": _every(3600.0, "maintenance.forget_tokens"),
    "forget what is past its use": _every(60.0, "maintenance.forget_old"),
    "have done what payments left lying": _every(10.0, "payments.sweep"),
    "top up low balances": _every(30.0, "payments.top_up"),
    "look for what the gateway never told": _every(3600.0, "payments.reconcile", "payments"),
    "let time pass at the mock gateway": _every(60.0, "payments.let_time_pass", "payments"),
    "audit the books": _every(3600.0, "maintenance.audit"),
}
# Look at the schedule at least this often, so that short periods are kept.
beat_max_loop_interval = 1.0
