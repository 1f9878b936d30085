"""`make up`, but what dies is started again at once: here it dies on purpose, and each pause is twice the last."""

from __future__ import annotations

import sys
from functools import partial
from unittest import mock

from ops import up
from ops.processes import Patience, Supervisor

with mock.patch.object(up, "Supervisor", partial(Supervisor, patience=Patience(restart=0.2, restart_most=0.2))):
    sys.exit(up.main())
