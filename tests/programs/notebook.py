"""Run cells, given as a JSON array, in a kernel; print the last one's result, kill the kernel."""

import asyncio
import json
import sys

import nbformat
from nbclient import NotebookClient


async def main() -> None:
    """Do so."""
    cells = [nbformat.v4.new_code_cell(text) for text in json.load(sys.stdin)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, kernel_name="python3")
    async with client.async_setup_kernel():
        for index, cell in enumerate(cells):
            await client.async_execute_cell(cell, index)
        print(cells[-1].outputs[-1].data["text/plain"])
        await client.km.shutdown_kernel(now=True)  # SIGKILL


asyncio.run(main())
