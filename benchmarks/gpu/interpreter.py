"""Triton's interpreter, made faster: the language is patched once a launch, not at every call of a function."""

from __future__ import annotations

from typing import Any


def hasten() -> None:
    """Leave out what Triton's interpreter does again at each call of a device function.

    It looks through all of `triton.language` for what it has to replace, which after the first call is nothing, and
    takes half of the time. Where Triton is another than this knows, it stays as it is.
    """
    import triton.language as tl
    from triton.runtime import interpreter

    kind = getattr(interpreter, "InterpretedFunction", None)
    if kind is None or not hasattr(kind, "rewrite") or not hasattr(interpreter, "_patch_lang"):
        return
    modules: dict[Any, list[Any]] = {}

    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        function = self.fn
        if function not in modules:
            modules[function] = [value for value in function.__globals__.values() if value is tl or value is tl.core]
        if any(tl.core.is_builtin(module.load) for module in modules[function]):  # not replaced yet
            interpreter._patch_lang(function)
        return self.rewrite()(*arguments, **options)

    kind.__call__ = call
