"""States and learned attributes: nested mappings of arrays, and their flat form for files."""

from typing import Any

from numpy.typing import NDArray

State = dict[str, Any]


def copy_state(state: State) -> State:
    """A deep copy."""
    return {name: copy_state(value) if isinstance(value, dict) else value.copy() for name, value in state.items()}


def flatten(state: State, prefix: str = "") -> dict[str, NDArray]:
    """Joins nested names by dots, arrays copied."""
    flat: dict[str, NDArray] = {}
    for name, value in state.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value.copy()
    return flat


def fill(template: State, flat: dict[str, NDArray], prefix: str = "") -> State:
    """The inverse of `flatten` for a state of the template's form.

    Raises:
        ValueError: an array is missing or of another form.
    """
    filled: State = {}
    for name, value in template.items():
        if isinstance(value, dict):
            filled[name] = fill(value, flat, f"{prefix}{name}.")
            continue
        found = flat.get(prefix + name)
        if found is None or found.dtype != value.dtype or found.shape != value.shape:
            raise ValueError(f"state: {prefix + name} is missing or not of the form {value.dtype}{value.shape}")
        filled[name] = found.copy()
    return filled


def subset(flat: dict[str, NDArray], prefix: str) -> dict[str, NDArray]:
    """The entries below a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in flat.items() if name.startswith(prefix)}
