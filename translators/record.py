"""``record``: a class of values that nothing assigns to, as cheap as one that may be assigned to.

The type checker sees a frozen class and holds everybody to it. At run time it is an ordinary slotted one, because
an object that refuses assignments takes three times as long to make. It compares by value and has no hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import frozen as record
else:
    from attrs import define as record

__all__ = ["record"]
