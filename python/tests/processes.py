# SPDX-License-Identifier: Apache-2.0
"""Runs a function on several processes joined by gloo."""

import os
import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def _main(rank, size, port, function, arguments):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=size)
    try:
        function(*arguments)
    finally:
        dist.destroy_process_group()


def run(size, function, *arguments):
    """function(*arguments) on each of `size` processes; an exception of one is an exception here."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.start_processes(_main, (size, port, function, arguments), nprocs=size, start_method="fork")
