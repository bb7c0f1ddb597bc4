"""The machine's randomness."""

import os
import random


class SystemRandom:
    """Implements `logd.model.seams.Random`."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)
