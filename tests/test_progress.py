"""What bars of shares say is left."""

import re
import time

from kdefrost import progress


def test_a_share_of_next_to_nothing_says_nothing_of_what_is_left(capsys, monkeypatch):
    """As the images themselves do, the first of the cuts that are scored, before what takes time."""
    monkeypatch.setattr(progress, "_EVERY", 0.01)

    def drawn(anew):
        """What is drawn last, once something new is."""
        text = ""
        for _ in range(600):
            time.sleep(0.05)
            text += capsys.readouterr().err
            if re.search(anew, text):
                return text.split("\r")[-1]
        raise AssertionError(f"{anew!r} is not in {text!r}")

    with progress.share_bar("Scoring cuts") as report:
        time.sleep(0.2)
        report(1e-9)
        assert "0% |" in (said := drawn("00:01 gone")) and said.endswith("? left")
        report(0.5)
        assert re.search(r" gone, \d\d:\d\d left$", drawn("50%"))
        report(1.0)
    assert capsys.readouterr().err.split("\r")[-1].startswith("Scoring cuts 100% |")
