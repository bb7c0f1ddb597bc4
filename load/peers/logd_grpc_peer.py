"""As `logd_sdk_peer`, but pyarrow is in neither process."""

from logd_sdk_peer import System as WithPyarrow

WITHOUT_PYARROW = (
    "import sys; sys.modules['pyarrow'] = None; from logd.main import main; sys.exit(main())"
)


class System(WithPyarrow):
    """A broker that finds no pyarrow, as where it is not installed."""

    program = ("-c", WITHOUT_PYARROW)
