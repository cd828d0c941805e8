"""Work folders that come and go beside each other: none is swept from under whoever is just making it."""

from __future__ import annotations

import threading

from pipelines.work_dir import WorkDir, sweep


def test_many_at_once_have_a_folder_each(tmp_path):
    """Engines start several processes in one moment; each sweeps what it finds, and makes its own."""
    made, faults, stop = [], [], threading.Event()

    def sweeping():
        while not stop.is_set():
            sweep(tmp_path)

    def making():
        try:
            made.extend(WorkDir(str(tmp_path)) for _ in range(40))
        except OSError as error:
            faults.append(error)

    sweepers = [threading.Thread(target=sweeping) for _ in range(4)]
    makers = [threading.Thread(target=making) for _ in range(4)]
    for thread in (*sweepers, *makers):
        thread.start()
    for thread in makers:
        thread.join()
    stop.set()
    for thread in sweepers:
        thread.join()
    assert faults == []
    assert len(made) == 160
    assert all((folder.path / ".lock").exists() for folder in made)
    for folder in made:
        folder.close()
    assert list(tmp_path.iterdir()) == []
