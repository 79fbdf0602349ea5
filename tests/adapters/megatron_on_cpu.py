"""Replace "cuda" by the CPU inside megatron-core, so that tests can run its schedules, buffers and checkpoints."""

import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode


class _CpuForCuda(TorchFunctionMode):
    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if "cuda" in str(kwargs.get("device")):
            kwargs["device"] = "cpu"
        if func is torch.Tensor.cuda:
            return args[0]
        return func(*args, **kwargs)


@contextmanager
def megatron_on_cpu() -> Iterator[None]:
    nothing = mock.Mock(return_value=None)
    with (
        _CpuForCuda(),
        mock.patch("torch.cuda.current_device", return_value="cpu"),
        mock.patch("torch.cuda.synchronize", nothing),
        mock.patch("torch.cuda.empty_cache", nothing),
    ):
        yield


if __name__ == "__main__":  # like `python -m`: python megatron_on_cpu.py MODULE ARGUMENTS...
    sys.argv = sys.argv[1:]
    with megatron_on_cpu():
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
