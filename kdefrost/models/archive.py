"""The archive that a `.keras` file is, looked through before Keras builds anything of it."""

import json
import os
import zipfile

_CONFIG = "config.json"


def check_archive(path: str | os.PathLike):
    """Refuses a `.keras` file that is not whole, by the checksums of the archive, without building a layer of it.

    Args:
        path: The file.

    Raises:
        ValueError: If a part is there twice, damaged, or the description of the model is none.
        zipfile.BadZipFile: If it is no archive; and whatever else `zipfile` and `zlib` raise of damaged ones.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise ValueError("a part of it is there twice")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"its {damaged} is damaged")
        if _CONFIG not in names:
            raise ValueError(f"it has no {_CONFIG}, which says what layers there are")
        if not isinstance(json.loads(archive.read(_CONFIG)), dict):
            raise ValueError(f"its {_CONFIG} describes no model")
