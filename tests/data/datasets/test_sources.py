"""What is known of a collection before anything of it is fetched."""

import pytest

from hybrid_sweep.config.compose import points
from hybrid_sweep.data.datasets.sources import check_languages
from hybrid_sweep.inputs import prepare
from tests.refused import refused


@pytest.mark.parametrize("name", ["debian", "miracl"])
def test_a_language_that_a_collection_never_has_is_refused_before_it_is_fetched(
    tmp_path, monkeypatch, name
):
    monkeypatch.setenv("HYBRID_SWEEP_CACHE", str(tmp_path / "empty"))
    ((_, config),) = points([f"data={name}", "data.languages=[en,german]"], multirun=False)
    for asked in (prepare.is_prepared, prepare.collection_of):
        with refused("data.language_missing", "german"):
            asked(config)
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("name", ["debian", "miracl", "synthetic", "files"])
def test_the_languages_of_the_ready_configs_are_known(name):
    ((_, config),) = points([f"data={name}"], multirun=False)
    check_languages(config.data)
