"""``deltawire`` and ``python -m proxy``: the same command.

Everything it can do is in ``cli``; this file only gives it its name, so that help and messages say
``deltawire`` however it was started.
"""

from __future__ import annotations

from proxy.cli import cli


def main() -> None:
    cli(prog_name="deltawire")


if __name__ == "__main__":
    main()
