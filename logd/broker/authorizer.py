"""Who may do what: everyone everything, until there is authentication."""

from logd.broker.ports import RequestContext


class AllowAll:
    """Implements `ports.Authorizer`."""

    def authorize(self, context: RequestContext, operation: str, resource: str) -> None:
        return None
