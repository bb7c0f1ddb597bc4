"""Errors end at the caller's line: how the SDK came to raise one is no reader's concern."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from logd.model.errors import LogdError

P = ParamSpec("P")
T = TypeVar("T")


def short_traceback(
    method: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """The method, whose typed errors keep their cause but not the frames below this one."""

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except LogdError as error:
            raise error.with_traceback(None) from error.__cause__

    return call
