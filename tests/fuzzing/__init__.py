"""A fuzzer: calls every public function and record with strange arguments, and judges what comes of it.

    python -m tests.fuzzing --seed 1 --count 1000000

Each call is a valid one of `tests.fuzzing.calls` in which one argument or some are replaced: by a value of any type
(`values`), or by a strange variant of the valid value (`variants`): another layout, byte order, size, subclass, number.
Call number `n` of a seed is a function of both, so every fault is reported with a command that repeats just this call.

A call has to return a lawful answer, or to raise a TypeError, ValueError, IndexError, KeyError or what the docstring's
`Raises` names, with a text that names the parameter and shows what it got in at most 300 characters. It may not raise
what only a fault inside the function raises, such as an AttributeError; take longer than some seconds; kill the
process; change its arguments; or change a global state. The answer for a strange layout equals that for a plain copy of
the same values. Elements of iterators are not looked at: that would consume them.
"""
