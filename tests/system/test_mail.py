"""E-mail in a running Coinop: staged by a command, sent by a worker of its own, and nobody waits for that worker."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.system.house import House, until


def test_mail_is_sent_and_nothing_waits_for_the_worker_that_sends_it(house: House) -> None:
    user = house.sign_up()
    address = user.http.get("/v1/me").raise_for_status().json()["email"]
    verify: Any = until(lambda: house.mails(address).get("verify_address"))
    assert f"{house.url}/verify-email?token=" in verify.get_body(("plain",)).get_content()

    worker = house.find("mail@")
    worker.suspend()
    try:
        email_of_another = f"{uuid4().hex}@example.com"
        body = {"email": email_of_another, "password": "correct horse battery"}
        user.http.post("/v1/auth/signup", json=body).raise_for_status()
        job = user.ended(user.submit())
        assert job["status"] == "completed"
        assert house.mails(email_of_another) == {}
    finally:
        worker.resume()
    until(lambda: house.mails(email_of_another).get("verify_address"))
