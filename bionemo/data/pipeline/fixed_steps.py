"""Steps of a fixed number of samples, counted."""

from bionemo.core.checks import AnyInt, as_int

__all__ = ["num_fixed_steps"]


def num_fixed_steps(num_samples: AnyInt, *, batch_size: AnyInt, drop_last: bool) -> int:
    """Return the number of steps that samples are divided into, without a short last one if it is dropped.

    Example:
        >>> num_fixed_steps(5, batch_size=2, drop_last=False), num_fixed_steps(5, batch_size=2, drop_last=True)
        (3, 2)
    """
    full, rest = divmod(as_int(num_samples), as_int(batch_size))
    return full + (rest > 0 and not drop_last)
