"""The command `vista-sim serve-policy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vista_sim.policies.remote.address import Address


def register(app: typer.Typer) -> None:
    """Add the commands of this part to the program."""
    app.command("serve-policy")(serve_policy)


def serve_policy(
    policy: Annotated[
        str, typer.Argument(help="Policy folder, .onnx file, or module:factory (runs its code).")
    ],
    at: Annotated[
        str,
        typer.Option(help="HOST:PORT of this machine (port 0: a free one), or PATH of a socket."),
    ] = "127.0.0.1:0",
    policy_version: Annotated[
        str | None,
        typer.Option(
            help="Text that changes with all that decides how the policy drives; runs are known by "
            "it. Of folders and .onnx files a hash of their files.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve a policy to other processes of this machine, until interrupted.

    Drive by it with --policy socket:HOST:PORT or socket:PATH. Each connection gets a policy of
    its own. The protocol is described in vista_sim/policies/README.md.
    """
    from vista_sim.policies.remote.server import serve

    def ready(address: Address) -> None:
        typer.echo(f"serving {policy} at {address}")

    serve(policy, at, ready, policy_version)
