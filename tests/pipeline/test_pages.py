"""Pages put together: each is whole, and nothing that is put in becomes part of the page's own language."""

import base64
import configparser
import html
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.web.pages import assemble, to_flac, to_json

HOUSE = Path(__file__).parents[2]
EVIL = "</script><script>alert(1)</script><!-- \u2028 ' \" &lt;"


def test_json_cannot_end_its_element() -> None:
    text = to_json({EVIL: [EVIL]})
    assert "<" not in text
    assert json.loads(text) == {EVIL: [EVIL]}


def test_json_has_no_numbers_that_browsers_refuse() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(float("nan"))


def test_a_page_is_whole_and_nothing_in_it_becomes_its_own_language() -> None:
    page = assemble("listening", title=EVIL, data={"id": EVIL + "{{sounds}}"}, sounds={"clip-1": "{{data}}"})
    assert f"<title>{html.escape(EVIL)}</title>" in page
    assert '<script type="text/plain" id="clip-1">{{data}}</script>' in page
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    assert json.loads(found[1]) == {"id": EVIL + "{{sounds}}"}
    assert "<link" not in page
    assert "src=" not in page


def test_every_static_file_is_installed() -> None:
    config = configparser.ConfigParser()
    config.read(HOUSE / "setup.cfg")
    patterns = re.split(r",\s*", config["options.package_data"]["pipeline.web"])
    web = HOUSE / "pipeline/web"
    static = {path for path in web.rglob("*") if path.suffix in (".html", ".css", ".js")}
    assert len(static) > 10
    assert static == {path for pattern in patterns for path in web.glob(pattern) if path.suffix not in (".py", ".pyc")}


def test_flac_changes_no_sample() -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 10_000).astype(np.int16)
    read, sample_rate = soundfile.read(io.BytesIO(base64.b64decode(to_flac(samples))), dtype="int16")
    assert sample_rate == 44_100
    np.testing.assert_array_equal(read, samples)
