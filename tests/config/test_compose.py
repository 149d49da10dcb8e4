"""From words to points: the same as Hydra's own, each mistake one line that names the key and the
way out.
"""

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from hybrid_sweep.config import compose
from hybrid_sweep.config.schema import SCHEMAS, config_dir, register
from tests.refused import refused


def composed(*words, multirun=False, search=None):
    return compose.points(list(words), multirun=multirun, search=search)


def test_one_point_without_and_the_product_with_multirun():
    [(words, config)] = composed("data=synthetic", "seed=3")
    assert (
        words == ("data=synthetic", "seed=3")
        and config.seed == 3
        and config.data.name == "synthetic"
    )
    jobs = composed("batch.cross_lingual_ratio=0,1", "seed=0,1", "data=synthetic", multirun=True)
    assert [(job.batch.cross_lingual_ratio, job.seed) for _, job in jobs] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]


def test_the_jobs_are_those_of_hydras_own_sweeper():
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    words = [
        "data=synthetic",
        "seed=range(2)",
        "batch.cross_lingual_ratio=choice(0,0.5)",
        "trainer.lr=1e-3",
    ]
    [expected] = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(words), None)
    assert [
        list(job) for job, _ in composed(*words, multirun=True)
    ] != expected  # the swept ratio comes first, from conf/
    assert sorted(sorted(job) for job, _ in composed(*words, multirun=True)) == sorted(
        sorted(job) for job in expected
    )


def test_words_that_steer_hydra_are_not_the_points():
    jobs = composed(
        "seed=0,1",
        "batch.cross_lingual_ratio=0",
        "data=synthetic",
        "hydra.sweep.dir=x",
        "hydra/launcher=basic",
        multirun=True,
    )
    assert [job for job, _ in jobs] == [
        ("batch.cross_lingual_ratio=0", f"seed={seed}", "data=synthetic") for seed in (0, 1)
    ]


def test_an_experiment_brings_its_own_sweep_and_its_mode():
    jobs = composed("experiment=smoke")
    assert len(jobs) == 6 and {config.sweep.name for _, config in jobs} == {"smoke"}
    assert len(composed("experiment=reproduce", multirun=True)) == 21
    assert len(composed("experiment=smoke", "seed=7", multirun=True)) == 3


def test_files_of_ones_own_are_found_beside_the_programs(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 11\n")
    [(_, config)] = composed("experiment=mine", "data=synthetic", search=str(tmp_path))
    assert config.seed == 11


@pytest.mark.parametrize("name", ["basic", "joblib"])
def test_launchers_with_the_names_of_hydras_are_composed_without_a_remark(name, recwarn):
    assert composed(f"hydra/launcher={name}") and not [
        each for each in recwarn if "validated" in str(each.message)
    ]


def test_the_launcher_of_a_sweep():
    assert (
        compose.launcher(["seed=0,1"]) == "local"
        and compose.launcher(["hydra/launcher=basic"]) == "basic"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "group",
    [
        "data",
        "model",
        "trainer",
        "logger",
        "batch",
        "eval",
        pytest.param("experiment", marks=pytest.mark.slow),
    ],
)
def test_every_file_of_every_group_composes(group):
    for path in sorted((config_dir() / group).glob("*.yaml")):
        needs = {
            "pretrained": ["model.path=/some/folder"],
            "msmarco": ["batch.cross_lingual_ratio=0"],
            "hf": ["batch.cross_lingual_ratio=0"],
        }
        more = needs.get(path.stem, [])
        assert composed(f"{group}={path.stem}", *more)


@pytest.mark.parametrize(
    "word, key, facts",
    [
        (
            "batch.cross_lingual_ratio=lots",
            "config.batch.cross_lingual_ratio",
            ["batch.cross_lingual_ratio: ", "'lots'"],
        ),
        ("batch.size=1.5", "config.batch.size", ["batch.size: ", "'1.5'"]),
        ("trainer.max_steps=null", "config.trainer.max_steps", ["trainer.max_steps"]),
        ("data=synthetc", "config.unknown_name", ["data=synthetc: ", "synthetic?", "debian, "]),
        (
            "experiment=none",
            "config.unknown_name",
            [
                "experiment=none: ",
                "added, composition, fixed_monolingual, merged, mixed, mmarco, paper",
            ],
        ),
        ("hydra/launcher=bas", "config.unknown_name", ["hydra/launcher=bas: ", "basic?"]),
        ("ratio=0.5", "config.unknown_key", ["ratio: ", "batch.cross_lingual_ratio"]),
        ("batch.cross_lingual_ration=0.5", "config.unknown_key", ["batch.cross_lingual_ratio"]),
        ("trainer.steps=4", "config.unknown_key", ["trainer.max_steps"]),
        ("data.groups=4", "config.unknown_key", ["data.groups: ", "data=synthetic"]),
        ("foo=1", "config.unknown_key", ["foo: "]),
        ("+foo=1", "config.unknown_key", ["foo"]),
        ("optimizer/x=1", "config.unknown_key", ["optimizer/x"]),
        ("seed=0,1", "config.several_values", ["seed=0,1: ", "add -m"]),
        ("seed=[", "config.override", ["seed=[: ", "KEY=VALUE"]),
        ("=", "config.override", ["KEY=VALUE"]),
        ("seed", "config.override", ["seed: ", "KEY=VALUE"]),
        ("data.languages=en", "config.data.languages", ["data.languages=["]),
        ("data.languages=en,de", "config.several_values", ["'data.languages=[en,de]'"]),
        ("+experiment=smoke", "config.given_twice", ["experiment=NAME"]),
    ],
)
def test_each_mistake_is_one_line(word, key, facts):
    with refused(key, *facts) as refusal:
        composed(word)
    assert "\n" not in refusal.message and "hydra." not in refusal.message


@pytest.mark.parametrize(
    ("content", "key", "facts"),
    [
        ("trainer:\n  max_step: 3\n", "config.unknown_key", ["trainer.max_steps"]),
        ("batch:\n  size: many\n", "config.batch.size", ["batch.size: ", "'many'"]),
        ("batch: [\n", "config.yaml", ["line 3"]),
        ("batch:\n  size: 1\n", "config.batch.size", ["batch.size=1"]),
        ("defaults:\n  - override /model: tinny\n", "config.unknown_name", ["model=tinny"]),
    ],
)
@pytest.mark.parametrize("multirun", [False, True])
def test_a_mistake_in_a_file_of_ones_own_names_file_and_key(
    tmp_path, content, key, facts, multirun
):
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("# @package _global_\n" + content)
    with refused(key, "experiment/mine.yaml", *facts) as refusal:
        composed("experiment=mine", multirun=multirun, search=str(tmp_path))
    assert "\n" not in refusal.message and "raised while" not in refusal.message


@pytest.mark.parametrize("code", ["no", "off", "on", "yes", "true"])
def test_a_language_that_yaml_takes_for_a_truth_value_is_to_be_quoted(tmp_path, code):
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    content = "# @package _global_\ndata:\n  languages: [en, {}]\n"
    file.write_text(content.format(code))
    with refused("config.data.languages", "'no'"):
        composed("experiment=mine", search=str(tmp_path))
    file.write_text(content.format(f"'{code}'"))
    [(_, config)] = composed("experiment=mine", search=str(tmp_path))
    assert config.data.languages == ["en", code]


def test_names_are_expanded_by_a_pattern(tmp_path):
    words = ["data=synthetic", "batch.cross_lingual_ratio=0"]
    jobs = composed(*words, "model=glob(t*)", multirun=True)
    assert [config.model.name for _, config in jobs] == ["tiny"]
    (tmp_path / "experiment").mkdir()
    for name in ("mine1", "mine2"):
        (tmp_path / "experiment" / f"{name}.yaml").write_text("# @package _global_\nseed: 11\n")
    jobs = composed(*words, "experiment=glob(mine*)", multirun=True, search=str(tmp_path))
    assert [config.seed for _, config in jobs] == [11, 11]


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("model.path", ["model=pretrained"]),
        ("data.path", ["data=files"]),
        ("data.negatives", []),
        ("paths.outputs", []),
        ("paths.cache", []),
    ],
)
def test_a_home_folder_that_is_not_there_is_one_line(key, more):
    with refused(f"config.{key}", f"{key}=~nobody-here/x"):
        composed(*more, f"{key}=~nobody-here/x")
    assert composed(*more, f"{key}=~/x") and composed(*more, f"{key}=x~y")


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["model=tiny", "model.path=x"], "config.model.path"),
        (["++model.path=x"], "config.model.path"),
        (["model=bm25", "model.query_length=512"], "config.model.query_length"),
        (["data=synthetic", "data.path=x"], "config.data.path"),
        (["data=xquad_r", "data.mirror=x"], "config.data.mirror"),
        (["data=files", "data.revision=x"], "config.data.revision"),
        (["+data@eval.also.a=synthetic", "eval.also.a.path=x"], "config.eval.also.path"),
        (["+data@more.a=files", "more.a.mirror=x"], "config.more.mirror"),
    ],
)
def test_a_value_that_the_chosen_group_has_no_use_for_is_refused(words, key):
    with refused(key, words[-1].lstrip("+")):
        composed(*words)


@pytest.mark.parametrize("multirun", [False, True])
def test_every_point_of_a_sweep_is_checked(multirun):
    with refused("config.batch.cross_lingual_ratio", "cross_lingual_ratio=1.5"):
        composed(
            "data=synthetic",
            "batch.cross_lingual_ratio=" + ("0,1.5" if multirun else "1.5"),
            multirun=multirun,
        )


def test_the_files_state_every_field_of_the_schema():
    """A knob that stands in no file of conf/ would be one that readers of conf/ never learn of."""
    import dataclasses

    from hybrid_sweep.config.schema import Config

    register()
    with initialize_config_dir(str(config_dir().resolve()), version_base="1.3"):
        for data, model in (("debian", "tiny"), ("synthetic", "pretrained")):
            raw = {}
            for group, name in (
                ("data", data),
                ("model", model),
                ("batch", "hybrid"),
                ("trainer", "cpu"),
                ("eval", "default"),
                ("logger", "offline"),
            ):
                text = (config_dir() / group / f"{name}.yaml").read_text()
                raw[group] = {
                    line.split(":")[0]
                    for line in text.splitlines()
                    if ":" in line and line[0].isalpha()
                }
                kind = SCHEMAS[group][name] if group in SCHEMAS else type(getattr(Config(), group))
                declared = {item.name for item in dataclasses.fields(kind)}
                silent = {"data": {"path", "mirror"}, "model": {"path", "local_files_only"}}.get(
                    group, set()
                )
                assert declared - raw[group] <= silent, (group, name)
        text = (config_dir() / "config.yaml").read_text()
        for section in ("sweep", "keep", "paths"):
            block = text.split(f"\n{section}:\n")[1].split("\n\n")[0]
            declared = {item.name for item in dataclasses.fields(type(getattr(Config(), section)))}
            assert {line.split(":")[0].strip() for line in block.splitlines()} == declared
        assert hydra_compose("config").seed == Config().seed


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["batch.cross_lingual_ratio=0,0.5", "seed=0,1", "data=synthetic", "data.groups=300"],
        ["experiment=smoke", "sweep.name=r${batch.cross_lingual_ratio}", "trainer=ddp"],
        [
            "model=tiny,me5_small",
            "data=synthetic",
            "sweep.name=x-${model.name}",
            "batch.cross_lingual_ratio=0",
        ],
        ["experiment=fixed_monolingual", "data=synthetic"],
        ["data=synthetic", "batch.budget=fixed_monolingual", "batch.cross_lingual_ratio=0,0.5,0.9"],
        [
            "data=synthetic",
            "+data@eval.also.q=xquad_r",
            "eval.also.q.path=/tmp",
            "data.languages=[xa,xb]",
        ],
    ],
)
def test_points_are_what_hydra_itself_composes_of_their_words(words, monkeypatch):
    """The groups of a sweep are composed once and the values set in a copy, and points that differ
    in numbers alone are converted once: whatever the words, nothing may differ.
    """
    quick = compose.points(words, multirun=True)
    monkeypatch.setattr(compose, "_from_base", lambda *_: None)
    monkeypatch.setattr(compose.Varied, "like", lambda *_: None)
    assert [(job, type(made.data), made) for job, made in compose.points(words, multirun=True)] == [
        (job, type(made.data), made) for job, made in quick
    ]
    assert len({id(made.batch) for _, made in quick}) == len(quick) > 0


def test_the_groups_of_a_sweep_are_composed_once(monkeypatch):
    asked, real = [], compose._from_base

    def count(compose, *rest):
        return real(lambda *words, **more: asked.append(words) or compose(*words, **more), *rest)

    monkeypatch.setattr(compose, "_from_base", count)
    compose.points(["data=synthetic", "seed=0,1,2", "batch.cross_lingual_ratio=0,1"], multirun=True)
    assert len(asked) == 1


def test_what_one_point_sets_is_not_in_the_next():
    bases = {}
    with compose._composer() as composer:
        seeds = [
            compose._from_base(composer, words, compose._parsed(words), bases).seed
            for words in (
                ("data=synthetic", "seed=3"),
                ("data=synthetic",),
                ("data=synthetic", "seed=4"),
            )
        ]
    assert seeds == [3, 0, 4] and list(bases) == [("data=synthetic",)]


def test_a_changed_file_is_read_again_in_one_process(tmp_path):
    folder = tmp_path / "experiment"
    folder.mkdir()
    file = folder / "mine.yaml"
    text = (
        "# @package _global_\nhydra:\n  mode: {mode}\n  sweeper: {{params: {{seed:"
        " '{seeds}'}}}}\nbatch: {{size: {size}}}\n"
    )
    words = ["data=synthetic", "experiment=mine", "model.layers=1"]

    def found(**values):
        file.write_text(text.format(**values))
        made = compose.points(words, multirun=False, search=str(tmp_path))
        return sorted({(config.seed, config.batch.size) for _, config in made})

    assert found(mode="MULTIRUN", seeds="0,1", size=8) == [(0, 8), (1, 8)]
    assert found(mode="MULTIRUN", seeds="0,1,2", size=16) == [(0, 16), (1, 16), (2, 16)]
    assert found(mode="RUN", seeds="0,1,2", size=16) == [(0, 16)]


def test_a_sweep_that_refers_to_a_value_takes_the_value_that_was_typed(tmp_path):
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    file.write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper: {params: {seed:"
        " '0,${trainer.max_steps}'}}\n"
    )
    for steps in (5, 7):
        words = ["data=synthetic", "experiment=mine", f"trainer.max_steps={steps}"]
        found = compose.points(words, multirun=False, search=str(tmp_path))
        assert {config.seed for _, config in found} == {0, steps}
