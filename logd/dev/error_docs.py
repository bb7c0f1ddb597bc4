"""Writes docs/errors.md from the error table: `python -m logd.dev.error_docs > docs/errors.md`."""

import inspect
from collections.abc import Iterator

from logd.cli.remedies import remedy
from logd.model.errors import ERRORS, LogdError

_HEAD = """\
# Errors

Written by `python -m logd.dev.error_docs` from `logd/model/errors.py`: change it there.

Every error that logd raises on purpose is one of these. Over gRPC it travels as a rich status whose
`ErrorInfo` has the reason, with details beside the message; entries of streams carry the same in
`logd.v1.Error`. Switch on the reason, never on the code alone: gRPC itself emits some codes. In
Python each reason is an exception class of `logd.errors`. `logctl explain REASON` prints what
stands here, and `logctl` ends with the exit status.

**Retriable**: the same request may succeed later. **Outcome unknown**: it may have taken effect
although it failed; repeat it only where that does no harm (idempotent producers see to that).

| reason | Python | gRPC code | retriable | outcome unknown | exit status |
|---|---|---|---|---|---|"""


def error_docs() -> str:
    """The page as Markdown, the reasons in the order of the table."""
    return "\n".join([_HEAD, *map(_row, ERRORS.values()), *_sections()]) + "\n"


def _row(error: type[LogdError]) -> str:
    cells = (
        f"[`{error.reason}`](#{error.reason.lower()})",
        f"`{error.__name__}`",
        f"`{error.code}`" if error.code else "raised by the SDK only",
        "yes" if error.retriable else "",
        "yes" if error.outcome_unknown else "",
        str(error.exit_status),
    )
    return f"| {' | '.join(cells)} |"


def _sections() -> Iterator[str]:
    for error in ERRORS.values():
        yield f"\n## {error.reason}\n"
        yield inspect.cleandoc(error.__doc__ or "")
        yield f"\n- Try: {remedy(error.reason)}"
        yield f"- The SDK: {error.client_does}"


if __name__ == "__main__":
    print(error_docs(), end="")
