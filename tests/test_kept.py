"""What is kept: whole or not at all, whoever is stopped when."""

import pytest
from conftest import FUZZED, damaged
from hypothesis import given
from hypothesis import strategies as st

from kdefrost import kept


def _write(folder, text="text"):
    with kept.writing(folder, {"seed": 1}) as beside:
        (beside / "file").write_text(text)


def test_what_is_kept_is_whole_and_what_is_changed_is_set_aside(tmp_path):
    folder = kept.address(tmp_path, "a/b", {"seed": 1})
    assert not kept.is_whole(folder)
    _write(folder)
    assert kept.is_whole(folder) and folder.parent == tmp_path and folder.name.startswith("a-b-")
    aside = folder.with_name(f"{folder.name}.damaged")
    for damage in ("other", None):
        (folder / "file").write_text(damage) if damage else (folder / "file").unlink()
        with pytest.warns(
            UserWarning, match=rf"{folder.name} is damaged .* made anew; what was there is now {aside.name}"
        ):
            assert not kept.is_whole(folder)
        assert [path.name for path in tmp_path.iterdir()] == [aside.name]
        assert (aside / "file").exists() == bool(damage)
        _write(folder)
        assert kept.is_whole(folder) and aside.exists()


@pytest.mark.parametrize("manifest", ["", "{}", "[]", '{"sha256": null}', '{"sha256": {}}', '{"sha256": []}'])
def test_a_manifest_that_says_nothing_is_damage(tmp_path, manifest):
    _write(tmp_path / "it")
    (tmp_path / "it" / "manifest.json").write_text(manifest)
    with pytest.warns(UserWarning, match="is damaged"):
        assert not kept.is_whole(tmp_path / "it")


def test_any_damage_to_what_is_kept_is_found_or_does_no_harm(tmp_path):
    folder = tmp_path / "it"
    with kept.writing(folder, {"seed": 1}) as beside:
        (beside / "a").write_bytes(bytes(range(100)))
        (beside / "b").write_bytes(b"other")
    whole = {name: (folder / name).read_bytes() for name in ("a", "b", "manifest.json")}
    damages = st.sampled_from(sorted(whole)).flatmap(lambda name: st.tuples(st.just(name), damaged(whole[name])))
    outcomes = {"right": 0, "found": 0}

    @FUZZED
    @given(damages)
    def look(damage):
        name, content = damage
        (folder / name).write_bytes(content)
        found = not kept._matches_manifest(folder)
        outcomes["found" if found else "right"] += 1
        assert found or name == "manifest.json" or content == whole[name]
        (folder / name).write_bytes(whole[name])

    look()
    print(outcomes)
    assert kept.is_whole(folder) and min(outcomes.values()) > 50


def test_addresses_tell_settings_apart(tmp_path):
    assert kept.address(tmp_path, "a", {"x": 1, "y": 2}) == kept.address(tmp_path, "a", {"y": 2, "x": 1})
    assert kept.address(tmp_path, "a", {"x": 1}) != kept.address(tmp_path, "a", {"x": 2})


def test_what_a_killed_process_left_is_never_read_and_cleared_away(tmp_path, start):
    killed = start(
        """
        import os, pathlib
        from kdefrost import kept
        with kept.writing(pathlib.Path(folder), {}) as beside:
            (beside / "file").write_text("half")
            os._exit(9)
        """,
        folder=str(tmp_path / "it"),
    )
    killed.join()
    assert killed.exitcode == 9
    (part,) = tmp_path.iterdir()
    assert part.name.endswith(".part") and not kept.is_whole(tmp_path / "it")
    _write(tmp_path / "it")
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_of_two_at_a_time_the_first_stays(tmp_path):
    with kept.writing(tmp_path / "it", {}) as beside:
        (beside / "file").write_text("second")
        _write(tmp_path / "other", "first")
        (tmp_path / "other").rename(tmp_path / "it")
    assert (tmp_path / "it" / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
