"""The mirror is never in the way: no wandb, no key, disabled, or broken, and the run goes on."""

import builtins
import logging

import pytest

from hybrid_sweep import tracking


def test_disabled_by_config_or_environment(config, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert tracking.start(config("logger=disabled"), tmp_path, "r") is None
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert tracking.start(config("logger=offline"), tmp_path, "r") is None
    assert not list(tmp_path.iterdir())


def test_without_wandb_there_is_one_clear_line(config, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", "offline")
    real = builtins.__import__

    def absent(name, *given, **more):
        if name.split(".")[0] == "wandb":
            raise ModuleNotFoundError("No module named 'wandb'")
        return real(name, *given, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with caplog.at_level(logging.WARNING):
        assert tracking.start(config("logger=offline"), tmp_path, "r") is None
    assert [record.message for record in caplog.records if "going on without it" in record.message]


class Broken:
    @property
    def experiment(self):
        raise OSError("disk full")


def test_a_mirror_that_breaks_does_not_break_the_run(caplog):
    tracking.finish(Broken(), {"x": 1.0})
    tracking.fail(Broken())
    tracking.log_metrics(Broken(), {"x": 1.0}, 5)
    tracking.log_metrics(None, {"x": 1.0}, 5)
    tracking.finish(None, {})
    tracking.fail(None)
    assert sum("could not close" in record.message for record in caplog.records) == 2
    assert sum("could not take metrics" in record.message for record in caplog.records) == 1


def test_metrics_of_a_step_reach_the_logger():
    class Logger:
        def log_metrics(self, metrics, step):
            self.told = (metrics, step)

    logger = Logger()
    tracking.log_metrics(logger, {"dev/monolingual/RR@10": 0.5}, 7)
    assert logger.told == ({"dev/monolingual/RR@10": 0.5}, 7)


@pytest.mark.parametrize(("finish", "code"), [(lambda run: tracking.finish(run, {"m": 0.5}), 0), (tracking.fail, 1)])
def test_the_run_is_closed_with_the_right_exit_code(finish, code):
    closed = {}

    class Run:
        summary = {}  # noqa: RUF012

        def finish(self, exit_code):
            closed["code"] = exit_code

    class Logger:
        experiment = Run()

    finish(Logger())
    assert closed == {"code": code} and (Run.summary.get("m") == 0.5) == (code == 0)
