"""What is wrong with the outcome of a call."""

import builtins
import inspect
import re
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from bionemo import data
from bionemo.core import record, resources
from bionemo.core.model import config_yaml, cross_entropy, functional
from bionemo.data import plot, run_log, sources, testing
from tests.fuzzing.answers import are_equal
from tests.fuzzing.calls import LAWS
from tests.fuzzing.calls.files import file_calls
from tests.fuzzing.calls.parts import FIELDS
from tests.fuzzing.hints import fits, hints_of, signature_of
from tests.fuzzing.states import differences, position, process_states, state
from tests.fuzzing.trials import Trial, arguments_of, name_of
from tests.fuzzing.variants import Variant

MAX_SHOWN = 300
OUR_ERRORS = (TypeError, ValueError, IndexError, KeyError)
CALL_USERS = LAWS | {functional.apply, testing.check_pure_reads, plot.plot_shuffle_quality}
"""Functions that call those of users, whose errors pass."""
NAMED = {data.collate_packed: {"ids"}, data.collate_fields: set(FIELDS), resources.cached_path: {"Resource"}}
NAMED |= {
    record.from_plain: {"text", "record"},
    data.mask_packed_tokens: {"ids"},
    run_log.read_run_log: {"read"},
    sources.tokenize_fasta: {"letter_table"},
    config_yaml.config_to_yaml: {"record"},
    cross_entropy.token_cross_entropy: {"Target"},
}
NAMED |= {resources.load: {"Resource"}, resources.verify_cached: {"Resource"}}
"""What else an error may name: the field of the samples, what made an argument, the word with which 2.x begins."""
WRITERS = {made.function for made in file_calls()}
"""Functions whose answers differ by the file that they were read from."""
SUBCLASSES_OF_OS_ERROR = {FileNotFoundError, NotADirectoryError, PermissionError}
NO_MEMORY = re.compile("can't allocate memory|not enough memory|Unable to allocate|Storage size calculation overflowed")
OF_TORCH = re.compile("meta|inference tensor", re.IGNORECASE)
"""What torch says of tensors that lack values, or versions."""
SHOWS = re.compile(r"\bgot\b|\bnot found\b")


class Failure(NamedTuple):
    function: str
    parameters: str
    kind: str
    value: str
    text: str
    number: int = -1
    """Number of the call, by which it is repeated."""


class TimeLimitError(BaseException):
    """Raised by the alarm within a call that takes too long; no `except Exception` catches it."""


class Outcome(NamedTuple):
    answer: Any
    error: BaseException | None


def outcome(function: Callable[..., Any], arguments: dict[str, Any]) -> Outcome:
    """Return the answer of a call or the error that it raises, also on entry to the context that it returns."""
    bound = inspect.BoundArguments(signature_of(function), arguments)
    try:
        answer = function(*bound.args, **bound.kwargs)
        if hasattr(answer, "__enter__") and hasattr(answer, "gen"):  # made by a contextmanager
            with answer:
                pass
    except (Exception, TimeLimitError) as error:  # noqa: BLE001 - any error is the outcome
        return Outcome(None, error)
    return Outcome(answer, None)


@cache
def documented_errors(function: Callable[..., Any]) -> tuple[type[BaseException], ...]:
    """Return the errors that every function may raise, and those that the docstring's `Raises` names."""
    text = (inspect.getdoc(function) or "").partition("Raises:")[2].partition("\n\n")[0]
    named = [getattr(builtins, word, None) for word in re.findall(r"\b[A-Z]\w+", text)]
    named = [OSError if kind in SUBCLASSES_OF_OS_ERROR else kind for kind in named]  # one stands for all
    return OUR_ERRORS + tuple(kind for kind in named if isinstance(kind, type) and issubclass(kind, BaseException))


def fault_of(  # noqa: PLR0911 - one per kind
    error: BaseException | None, called: Callable[..., Any], names: set[str], *, is_wrong: bool, is_others: bool
) -> str | None:
    """Return what is wrong with the error of a call, or with there being none.

    Args:
        error: the error, if any.
        called: the function.
        names: parameters of which the error has to name one.
        is_wrong: whether an argument violates its annotation.
        is_others: whether the error may be that of a user's function or data set.
    """
    if isinstance(error, TimeLimitError):
        return "hang"
    if error is None:
        return "accepted" if is_wrong else None
    if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
        return None
    if is_others or OF_TORCH.search(str(error)):
        return None
    if not isinstance(error, documented_errors(called)):
        return type(error).__name__
    if isinstance(error, OSError):
        return None  # it names the file
    text = str(error)
    shown = text.partition("got")[2]
    if len(shown) > MAX_SHOWN or len(text) > 3 * MAX_SHOWN:
        return "long text"
    if not any(re.search(rf"\b{name}?\b", text) for name in names) or (is_wrong and not SHOWS.search(text)):
        return f"unclear {type(error).__name__}"
    return None


def check(trial: Trial) -> Failure | None:
    """Return the failure of a call with some arguments replaced, if it is one."""
    function, hints = trial.called.function, hints_of(trial.called.function)
    arguments = replaced(trial, {name: variant.value for name, variant in trial.changes.items()})
    wrong = {name for name in trial.changes if not does_fit(function, name, arguments[name], hints.get(name, Any))}
    callables = {name for name, variant in trial.changes.items() if callable(variant.value)}
    is_others = bool(callables - wrong) if wrong else bool(callables) or function in CALL_USERS
    kept = {name: part for name, part in arguments.items() if not name.endswith("_buffer") and name != "ax"}
    contents, positions = state(kept), {name: position(part) for name, part in kept.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = process_states()
        answer, error = outcome(function, arguments)
        moved = differences(before, process_states())
    names = (set(trial.changes) if wrong == {*trial.changes} else set(signature_of(function).parameters)) | NAMED.get(
        function, set()
    )
    kind = fault_of(error, function, names, is_wrong=bool(wrong), is_others=is_others)
    if kind is None and moved and not any(callable(variant.value) for variant in trial.changes.values()):
        kind = f"changed the {moved[0]}"
    if kind is None and contents != state(kept):
        kind = "changed an argument"
    if (
        kind is None
        and error
        and wrong
        and len(trial.changes) == 1
        and positions != {name: position(part) for name, part in kept.items()}
    ):
        kind = "advanced a generator before an error"
    if kind is None and error is None:
        kind = fault_of_layout(trial, answer)
    return failure_of(trial, kind, error) if kind else None


def fault_of_layout(trial: Trial, answer: Any) -> str | None:
    """Return whether the answer differs from that for a plain copy of the arguments."""
    if not all(variant.has_plain for variant in trial.changes.values()) or trial.called.function in WRITERS:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = replaced(trial, {name: variant.plain for name, variant in trial.changes.items()})
        plain, error = outcome(trial.called.function, arguments)
    if error is not None:
        return "accepted a layout whose plain copy is refused"
    return None if are_equal(answer, plain) else "another answer than for a plain copy"


def is_rest(function: Callable[..., Any], name: str) -> bool:
    return signature_of(function).parameters[name].kind is inspect.Parameter.VAR_POSITIONAL


def does_fit(function: Callable[..., Any], name: str, value: Any, hint: Any) -> bool:
    return all(fits(part, hint) for part in value) if is_rest(function, name) else fits(value, hint)


def replaced(trial: Trial, values: dict[str, Any]) -> dict[str, Any]:
    """Return new valid arguments, some of them replaced."""
    arguments = arguments_of(trial.called)
    for name, value in values.items():
        is_one = trial.changes[name].name in {"value", "number"} or getattr(value, "ndim", None) == 0
        arguments[name] = (value,) if is_one and is_rest(trial.called.function, name) else value
    return arguments


def failure_of(trial: Trial, kind: str, error: BaseException | None, number: int = -1) -> Failure:
    shown = "; ".join(described(name, variant) for name, variant in trial.changes.items())
    text = one_line(f"{type(error).__name__}: {error}", 200) if error is not None else ""
    return Failure(name_of(trial.called), ", ".join(sorted(trial.changes)), kind, shown, text, number)


def described(name: str, variant: Variant) -> str:
    try:
        value = repr(variant.value)
    except Exception as error:  # noqa: BLE001 - e.g. of an integer with too many digits
        value = type(error).__name__
    return one_line(f"{name} = {variant.name}: {type(variant.value).__name__} {value}", 110)


def one_line(value: object, length: int) -> str:
    return " ".join(str(value).split())[:length]
