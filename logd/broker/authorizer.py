"""Who may do what: everyone everything, until there is authentication."""

from logd.rpc.rpc import RequestContext


class AllowAll:
    """Implements `rpc.Authorizer`."""

    def authorize(self, context: RequestContext, operation: str, resource: str) -> None:
        return None
