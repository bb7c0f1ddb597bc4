"""Topics as members subscribe to them: by name, and by pattern."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from logd.model.errors import InvalidConfig, UnknownTopic
from logd.model.ids import TopicId
from logd.model.topic import PARKED_SUFFIX, Topic
from logd_consumer_groups.ports import LogView

PATTERNS_KEPT = 100
"""Patterns that are remembered, and for as long as no topic changes their matches."""
PATTERN_MEMORY_BYTES = 1 << 20


class TopicLookup:
    """Implements `core.membership.TopicLookup`. On the loop."""

    def __init__(self, view: LogView) -> None:
        self._view = view
        self._all: Sequence[Topic] = ()
        self._matching: dict[str, tuple[Topic, ...]] = {}

    def find(self, name: str) -> Topic | None:
        return self._view.find(name)

    def exists(self, topic_id: TopicId) -> bool:
        return self.name(topic_id) != ""

    def name(self, topic_id: TopicId) -> str:
        """ "" where it is gone."""
        try:
            return self._view.by_id(topic_id).name
        except UnknownTopic:
            return ""

    def matching(self, pattern: str) -> Iterable[Topic]:
        """A parked topic only where the pattern says so: else whoever parks what it cannot take
        would be given it again."""
        topics = self._view.all()
        if topics is not self._all or len(self._matching) > PATTERNS_KEPT:
            self._all, self._matching = topics, {}
        if pattern not in self._matching:
            matches = compile_pattern(pattern).fullmatch
            self._matching[pattern] = tuple(
                topic
                for topic in topics
                if not topic.internal
                and matches(topic.name)
                and (not topic.name.endswith(PARKED_SUFFIX) or "parked" in pattern)
            )
        return self._matching[pattern]


@lru_cache(maxsize=PATTERNS_KEPT)
def compile_pattern(pattern: str) -> Any:
    """An RE2 pattern, which takes linear time whatever it says. Raises InvalidConfig."""
    try:
        import re2
    except ImportError:
        raise InvalidConfig(
            "this broker has no engine for patterns: install logd[patterns] (google-re2) where it "
            "runs, or subscribe to topics by name",
            field="pattern",
        ) from None
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY_BYTES
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise InvalidConfig(
            f"the pattern '{pattern[:100]}' is no RE2 pattern: {_text(error)}", field="pattern"
        ) from None


def _text(error: Exception) -> str:
    what = error.args[0] if error.args else error
    return what.decode(errors="replace") if isinstance(what, bytes) else str(what)
