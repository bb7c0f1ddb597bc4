"""`logctl completion`: the script that teaches a shell to complete logctl."""

import click

from logd.cli.invocation import Invocation, LogctlCommand
from logd.cli.parsed_type import OneOf

SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=LogctlCommand,
    broker=False,
    epilog="""\b
    Examples:
      source <(logctl completion bash)
      logctl completion zsh > ~/.zfunc/_logctl
      logctl completion fish > ~/.config/fish/completions/logctl.fish""",
)
@click.argument("shell", type=OneOf(SHELLS))
@click.pass_obj
def completion(invocation: Invocation, shell: str) -> None:
    """The completion script of a shell."""
    from click.shell_completion import get_completion_class

    from logd.cli.main import logctl

    found = get_completion_class(shell)
    assert found is not None
    complete = found(logctl, {}, "logctl", "_LOGCTL_COMPLETE")
    invocation.output.line(found.source_template % complete.source_vars())
