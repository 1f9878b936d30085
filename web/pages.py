"""Pages: how long lists are asked for."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.pages import MOST_PER_PAGE

PageSize = Annotated[int, Field(ge=1, le=MOST_PER_PAGE)]
HIGHEST_KEY = 2**63 - 1
"""What a key's column can hold."""


class PageQuery(BaseModel):
    """The `next` of the page before, and how many at once."""

    model_config = ConfigDict(extra="forbid")
    after: Annotated[int, Field(ge=0, le=HIGHEST_KEY)] | None = Field(
        None, description="The `next` of the page before."
    )
    limit: PageSize = 20
