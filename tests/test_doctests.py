"""Examples in the docstrings of what a notebook imports: as `help` shows them, they may be pasted there."""

import doctest
import inspect

import pytest

import mobilenet_v2 as mnv2

FUNCTIONS = [name for name in mnv2.__all__ if inspect.isfunction(getattr(mnv2, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_has_examples_and_they_hold(name: str) -> None:
    function = getattr(mnv2, name)
    [test] = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert test.examples, "has no example"
    assert doctest.DocTestRunner().run(test).failed == 0
