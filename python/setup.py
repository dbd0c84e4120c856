# SPDX-License-Identifier: Apache-2.0
"""Builds the operator against the torch that is installed:

    pip install --no-build-isolation ./python

LORMA_MARCH       instruction set, -march (native; x86-64-v3 for wheels that travel)
LORMA_EIGEN       folder of Eigen's headers, where it is not found
LORMA_OPERATOR    "require": an error where the operator cannot be built; "omit": do without it
Without torch, a compiler or Eigen the package is installed without the operator, and says so when it
is imported.
"""

import os
import re
import sys
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent / "include"
VERSION = re.search(r'LORMA_VERSION_STRING "(.*)"', (INCLUDE / "lorma" / "version.hpp").read_text())[1]


def eigen() -> Path:
    places = [os.environ.get("LORMA_EIGEN"), "/usr/include/eigen3", "/usr/local/include/eigen3",
              "/opt/homebrew/include/eigen3"]
    for place in filter(None, places):
        if (Path(place) / "Eigen" / "Core").exists():
            return Path(place)
    raise RuntimeError("Eigen was not found; set LORMA_EIGEN")


def operator() -> dict:
    """The arguments of setup that build it. Raises where it cannot be."""
    from torch.utils.cpp_extension import BuildExtension, CppExtension

    march = os.environ.get("LORMA_MARCH", "native")
    # OpenMP's code, and the runtime that torch brings: no second one is linked.
    extension = CppExtension(
        "lorma._ops", ["csrc/library.cpp"], include_dirs=[str(INCLUDE), str(eigen())],
        depends=[str(path) for path in INCLUDE.rglob("*.hpp")], define_macros=[("EIGEN_DONT_PARALLELIZE", None)],
        extra_compile_args=["-std=c++20", "-O3", "-g0", f"-march={march}", "-fopenmp", "-w"])
    extension.optional = os.environ.get("LORMA_OPERATOR") != "require"
    return {"ext_modules": [extension], "cmdclass": {"build_ext": BuildExtension.with_options(use_ninja=False)}}


wish = os.environ.get("LORMA_OPERATOR", "")
arguments = {}
if wish != "omit":
    try:
        arguments = operator()
    except (ImportError, RuntimeError, OSError) as error:
        if wish == "require":
            raise
        print(f"lorma: without the compiled operator ({error}); LoRMA_pi will run by torch.fft", file=sys.stderr)
setup(version=VERSION, **arguments)
