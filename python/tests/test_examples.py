# SPDX-License-Identifier: Apache-2.0
"""The examples run and say what they promise. finetune.py, which needs data, is `make finetune`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def output(*command):
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    return done.stdout.splitlines()


def test_a_model_of_ones_own():
    lines = output(EXAMPLES / "own_model.py")
    assert [line.split()[0] for line in lines] == ["identity", "cyclic"]


def test_ranks_along_training():
    lines = output(EXAMPLES / "measure_ranks.py")
    assert "query.weight: rank 48 of 48" in lines[0]
    assert sum("P of rank 48" in line for line in lines) == 6


def test_the_loss_does_not_depend_on_the_number_of_processes():
    alone, both = ([float(line.split("loss ")[1]) for line in output(
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", size, EXAMPLES / "sharded.py")]
        for size in "12")
    assert len(alone) == 2 and both == pytest.approx(alone, abs=2e-4)
