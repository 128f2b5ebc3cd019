"""The table of the faces is what their tests show."""

from faces import table
from faces.suite import GuardedAPI


def test_the_table_is_what_the_faces_say() -> None:
    """docs/reference/faces.md; if not, run `python tests/faces/table.py`."""
    assert table.page() == table.PAGE.read_text(encoding="utf-8")


def test_what_a_face_cannot_do_has_a_test_of_what_happens_instead() -> None:
    """And what it can is asked as of all others, unless the base class says so too."""
    known = set(table.sentences())
    for face in table.faces():
        assert set(face.cannot) <= known, face
        for sentence in known:
            is_own = getattr(face, f"test_{sentence}") is not getattr(GuardedAPI, f"test_{sentence}")
            assert is_own == (sentence in face.cannot), (face, sentence)
