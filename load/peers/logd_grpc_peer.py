"""As `logd_sdk_peer`, but pyarrow is in neither process: gRPC only."""

from logd_sdk_peer import System as WithFlight

WITHOUT_PYARROW = (
    "import sys; sys.modules['pyarrow'] = None; from logd.main import main; sys.exit(main())"
)


class System(WithFlight):
    """A broker that finds no pyarrow, as where it is not installed."""

    options = ()
    program = ("-c", WITHOUT_PYARROW)
