# SPDX-License-Identifier: Apache-2.0
"""An install without the operator: said once, never silently, and the same results."""

import shutil
import subprocess
import sys
from pathlib import Path

import lorma

PROGRAM = """
import sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from lorma import ops
assert not ops.compiled
text = [str(w.message) for w in caught if w.category is RuntimeWarning]
assert len(text) == 1 and "without its compiled operator" in text[0] and "pip install" in text[0], text
import torch
B, A = torch.randn(12, 2, dtype=torch.float64), torch.randn(2, 12, dtype=torch.float64)
y = torch.randn(3, 12, dtype=torch.float64)
i = torch.arange(12)
P = (0.5 * B @ A).gather(1, (i[None, :] - i[:, None]) % 12)
torch.testing.assert_close(ops.multiply(y, B, A, 0.5, "cyclic"), y @ P.T)
torch.testing.assert_close(ops.merge(y.T, B, A, 0.5, "cyclic", "pre"), P @ y.T)
"""


def test_an_install_without_the_operator_says_so_and_works(tmp_path):
    sources = shutil.ignore_patterns("_ops*", "__pycache__")
    shutil.copytree(Path(lorma.__file__).parent, tmp_path / "lorma", ignore=sources)
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, env={"PYTHONPATH": str(tmp_path)})
