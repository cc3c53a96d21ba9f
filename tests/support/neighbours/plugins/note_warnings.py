"""Write every warning and error of any logger to standard error, as a line that begins so."""

from __future__ import annotations

import logging


class _Notes(logging.StreamHandler):  # type: ignore[type-arg]
    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)
        self.setFormatter(logging.Formatter("NOTED %(levelname)s %(name)s: %(message)s"))


logging.captureWarnings(True)
logging.getLogger().addHandler(_Notes())
