# SPDX-License-Identifier: Apache-2.0
"""Multiplicative low-rank adapters (LoRMA, arXiv 2506.07621) for PyTorch.

lorma.ops         P = I(s B A) on tensors and weights, with autograd
lorma.peft        the PEFT method: LormaConfig (needs peft)
lorma.analysis    ranks and spectra of weights and multipliers (NumPy)
lorma.allocate    ranks that move between the layers of a PEFT model
lorma.invertible  what keeps multipliers invertible
lorma.parallel    a layer whose frozen weight is cut over processes
"""

from importlib.metadata import PackageNotFoundError, version

from . import ops

__all__ = ["ops"]
try:
    __version__ = version("lorma")
except PackageNotFoundError:  # used from its folder
    __version__ = "0"
