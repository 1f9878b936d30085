"""`/docs` leads to a page that shows the document, and its policy lets it."""

from __future__ import annotations

import re
from typing import Any


def test_docs_leads_to_the_page_of_the_document(app: Any) -> None:
    client = app.test_client()
    page = client.get("/docs", follow_redirects=True)
    assert (page.status_code, page.request.path) == (200, "/docs/swagger")
    assert "script-src 'self' 'unsafe-inline'" in page.headers["Content-Security-Policy"]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 4
    for each in [*loaded, "openapi.json"]:
        assert client.get(f"/docs/{each}").status_code == 200, each
