"""The notebooks of docs/, executed: `python -m tests.notebooks` stores what their cells show."""

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run the cells of a notebook in a folder; raises CellExecutionError for one that fails."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def main() -> None:
    for path in sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["HYBRID_SWEEP_CACHE"] = f"{folder}/cache"
            notebook = executed(path, Path(folder))
        for cell in notebook.cells:
            cell.metadata = {}
            cell.get("outputs", [])[:] = [out for out in cell.get("outputs", []) if shown(out)]
        nbformat.write(notebook, path)
        print(path)


def shown(output: nbformat.NotebookNode) -> bool:
    """Whether an output is stored: not the progress that libraries write."""
    return output.get("name") != "stderr"


if __name__ == "__main__":
    main()
