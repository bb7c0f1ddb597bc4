"""As `logd_sdk_peer`, but with a Flight door, which the SDK then takes."""

from logd_sdk_peer import System as WithoutDoor


class System(WithoutDoor):
    """A broker with both doors."""

    options = ("--flight-listen", "auto")
