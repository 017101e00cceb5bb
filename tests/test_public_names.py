"""The public names: they resolve, they are the objects of their home modules, and nothing else is offered."""

import importlib
import subprocess
import sys

import pytest

import pixelwise


@pytest.mark.parametrize("name", sorted(set(pixelwise.__all__) - {"__version__"}))
def test_a_public_name_is_the_object_of_its_home(name):
    home = importlib.import_module(pixelwise._HOMES[name])
    assert getattr(pixelwise, name) is getattr(home, name)
    assert getattr(home, name).__module__ == home.__name__  # and not one that it has from elsewhere


def test_each_public_name_has_a_home_and_each_home_is_public():
    assert set(pixelwise.__all__) == {*pixelwise._HOMES, "__version__"}
    assert pixelwise.__all__ == sorted(pixelwise.__all__)


def test_dir_is_the_public_names():
    assert dir(pixelwise) == sorted(pixelwise.__all__)


@pytest.mark.parametrize("name", ["laod", "_HOME", "torch"])
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"module 'pixelwise' has no attribute '{name}'"):
        getattr(pixelwise, name)
    assert not hasattr(pixelwise, name)


def test_everything_can_be_imported_by_star():
    names: dict[str, object] = {}
    exec("from pixelwise import *", names)
    assert set(pixelwise.__all__) <= set(names)


def test_a_name_that_needs_no_torch_does_not_load_it():
    code = "import pixelwise, sys; pixelwise.LabelSpec; pixelwise.open_data; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
