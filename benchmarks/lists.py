"""stub"""

from benchmarks.bench import Bench
from benchmarks.report import Figure


def million(bench: Bench) -> list[Figure]:
    return []
