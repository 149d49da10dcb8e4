"""Loggers of Lightning beside the mirror: the same series, the same run, and never in the way."""

import csv
import importlib.util
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from hybrid_sweep.commands import sweep_verbs
from hybrid_sweep.config.rules import LOGGERS
from hybrid_sweep.config.schema import run_id
from hybrid_sweep.tracking import lightning_logger
from hybrid_sweep.tracking.lightning_logger import GuardedLogger, MirrorLogger, loggers
from hybrid_sweep.tracking.live import Mirror
from tests.refused import refused
from tests.training.test_dev_evaluation import fit

DATA = {"collection": "c", "model": "m"}


def rows_of(folder: Path) -> list[dict[str, str]]:
    (file,) = folder.glob("loggers/csv/version_*/metrics.csv")
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


def test_loggers_are_no_part_of_a_run_id(config):
    plain = run_id(config(), DATA)
    for words in (["logger.also=[csv]"], ["logger.also=[csv,tensorboard,mlflow]"]):
        assert run_id(config(*words), DATA) == plain


def test_the_mirror_comes_first_and_each_named_logger_behind_it(config, tmp_path):
    made = config("logger.also=[csv,tensorboard]")
    mirror = Mirror(None)
    first, *others = loggers(made, tmp_path, mirror)
    assert isinstance(first, MirrorLogger) and first.mirror is mirror
    assert [logger.name for logger in others] == ["csv", "tensorboard"]
    assert loggers(config(), tmp_path, None) == [] and list(tmp_path.iterdir()) == []


def test_a_training_writes_its_series_as_csv(config, tmp_path):
    made = config("logger.also=[csv]", "eval.dev_every=5")
    module, history = fit(made, tmp_path, loggers(made, tmp_path, None))
    rows = rows_of(tmp_path)
    losses = {int(row["step"]): row["train/loss"] for row in rows if row["train/loss"]}
    assert {step: float(loss) for step, loss in losses.items()} == pytest.approx(
        {number: row["loss"] for number, row in enumerate(module.record, 1)}
    )
    rates = [float(row["train/lr"]) for row in rows if row["train/lr"]]
    assert rates == pytest.approx([row["lr"] for row in module.record])
    norms = [float(row["train/grad_norm"]) for row in rows if row["train/grad_norm"]]
    assert norms == pytest.approx([row["grad_norm"] for row in module.record])
    name = "dev/monolingual/RR@10"
    dev = {int(row["step"]): float(row[name]) for row in rows if row[name]}
    assert dev == pytest.approx(
        {row["step"]: row["monolingual/RR@10"] for row in history.rows}, abs=1e-6
    )
    (settings,) = tmp_path.glob("loggers/csv/version_*/hparams.yaml")
    assert yaml.safe_load(settings.read_text())["batch"]["cross_lingual_ratio"] == 0.5


def test_a_training_writes_events_of_tensorboard(config, tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is an extra: pip install hybrid-sweep[tensorboard]",
    )
    made = config("logger.also=[tensorboard]")
    module, _ = fit(made, tmp_path, loggers(made, tmp_path, None))
    (folder,) = (tmp_path / "loggers" / "tensorboard").iterdir()
    events = accumulator.EventAccumulator(str(folder)).Reload()
    losses = [scalar.value for scalar in events.Scalars("train/loss")]
    assert losses == pytest.approx([row["loss"] for row in module.record])


@pytest.mark.slow
def test_a_training_tells_mlflow(config, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow is an extra: pip install hybrid-sweep[mlflow]")
    from mlflow.tracking import MlflowClient

    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    made = config("logger.also=[mlflow]")
    module, _ = fit(made, tmp_path / "0123456789ab", loggers(made, tmp_path / "0123456789ab", None))
    client = MlflowClient(place)
    experiment = client.get_experiment_by_name(made.logger.project)
    (run,) = client.search_runs([experiment.experiment_id])
    history = sorted(client.get_metric_history(run.info.run_id, "train/loss"), key=_step)
    assert [metric.value for metric in history] == pytest.approx(
        [row["loss"] for row in module.record]
    )
    assert run.data.params["seed"] == "0"


def _step(metric) -> int:
    return int(metric.step)


class Broken:
    """A logger whose disk is full from the second call on."""

    def __init__(self):
        self.calls = 0

    def log_hyperparams(self, settings):
        pass

    def log_metrics(self, metrics, step):
        self.calls += 1
        if self.calls > 1:
            raise OSError(28, "No space left on device")


def test_a_logger_that_fails_is_told_once_and_left_alone(caplog):
    inner = Broken()
    logger = GuardedLogger("csv", lambda: inner, {})
    with caplog.at_level(logging.WARNING):
        for step in range(5):
            logger.log_metrics({"train/loss": 1.0}, step)
        logger.save()
        logger.finalize("success")
    assert inner.calls == 2 and len(caplog.records) == 1 and "csv" in caplog.text


def test_a_logger_that_cannot_be_made_is_told_once(caplog):
    def make():
        raise ModuleNotFoundError("no module named away")

    logger = GuardedLogger("mlflow", make, {})
    with caplog.at_level(logging.WARNING):
        logger.log_metrics({}, 1)
        logger.log_metrics({}, 2)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", [kind for kind, package in LOGGERS.items() if package])
def test_a_logger_that_is_not_installed_is_refused_at_plan(monkeypatch, tmp_path, kind):
    monkeypatch.chdir(tmp_path)
    there = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == kind else there(name, *more)
    )
    for verb in (sweep_verbs.run, sweep_verbs.plan):
        with refused("install.logger", f"hybrid-sweep[{kind}]"):
            verb(["data=synthetic", f"logger.also=[{kind}]"])
    assert list(tmp_path.iterdir()) == []


def test_metrics_go_to_every_logger_of_a_trainer():
    two = [GuardedLogger("csv", Broken, {}), GuardedLogger("csv", Broken, {})]
    lightning_logger.tell(SimpleNamespace(loggers=two), {"train/loss": 1.0}, 3)
    assert [logger.inner.calls for logger in two] == [1, 1]
