# One image for every service; docker-compose.yml says what each runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    COINOP_ENV=production \
    COINOP_HOME=/var/lib/coinop \
    HOST=0.0.0.0

WORKDIR /app

# Before the code, so that a change of code does not install everything again.
COPY requirements.txt requirements-telemetry.txt constraints.txt ./
# TELEMETRY=1 adds what sends traces and reports of errors (docs/visibility.md).
ARG TELEMETRY=
RUN pip install -r requirements.txt ${TELEMETRY:+-r requirements-telemetry.txt} -c constraints.txt

# A fixed id, so that the owner of what is in the volumes stays the same from image to image.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin coinop \
    && install -d -o coinop -g coinop -m 0700 /var/lib/coinop /var/lib/coinop/outputs

# Owned by root: what runs cannot change its own code.
COPY . .
USER coinop

EXPOSE 8000

# The exec form: the signal that stops the container reaches gunicorn, which lets open requests end.
# Its heartbeat files go to memory; on a disk that blocks it would take its workers for dead.
CMD ["gunicorn", "wsgi:app", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", \
     "--threads", "8", "--graceful-timeout", "30", "--timeout", "60", "--keep-alive", "30", \
     "--worker-tmp-dir", "/dev/shm", "--no-control-socket"]
