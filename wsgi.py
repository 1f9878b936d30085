"""The front door's entry: `gunicorn wsgi:app`, `flask …`."""

from web import create_app

app = create_app()
