"""Pages put together: nothing that is told can become part of the page's own language."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.web.pages import assemble, to_flac, to_json

EVIL = "</script><script>alert(1)</script><!-- \u2028 ' \" &lt;"


def test_json_cannot_end_its_element() -> None:
    text = to_json({EVIL: [EVIL]})
    assert "<" not in text
    assert json.loads(text) == {EVIL: [EVIL]}


def test_json_has_no_numbers_that_browsers_refuse() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(float("nan"))


def test_what_stands_in_a_content_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("/* a */|/* page.css */|/* scripts */|<!-- texts -->")
    (tmp_path / "page.css").write_text("/* a */")
    (tmp_path / "one.js").write_text("1")
    (tmp_path / "two.js").write_text("2 /* page.css */")
    page = assemble(tmp_path, ["one.js", "two.js"], {"/* a */": "\\1 <!-- texts -->"}, [("x", "y")])
    parts = ("\\1 <!-- texts -->", "/* a */", "1\n2 /* page.css */", '<script type="text/plain" id="x">y</script>')
    assert page == "|".join(parts)


def test_flac_changes_no_sample() -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 10_000).astype(np.int16)
    read, sample_rate = soundfile.read(io.BytesIO(base64.b64decode(to_flac(samples))), dtype="int16")
    assert sample_rate == 44_100
    np.testing.assert_array_equal(read, samples)
