"""`voxtrait annotate --engine ray`: the same data set from machines that come and go."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from batch_toys import (
    archive_of,
    assert_no_orphans,
    command,
    environment,
    heard,
    named,
    noise,
    run,
    sabotage,
    speech,
    toy_in,
)

#: A head without cores and two machines of one core; that which hears first is lost on the way.
_LOSS = """
import logging, os, sys, threading, time
os.environ["RAY_BACKEND_LOG_LEVEL"] = "fatal"
import ray
from ray.cluster_utils import Cluster
from voxtrait.batch.annotate import annotate

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
log = os.environ["TOY_LOG"]

def lose():
    while not os.path.exists(log) or len(open(log).readlines()) < 20:
        time.sleep(0.02)
    cluster.remove_node(nodes[0], allow_graceful=False)
    print("lost", flush=True)

thread = threading.Thread(target=lose)
thread.start()
progress = annotate([sys.argv[1]], sys.argv[2], model=sys.argv[3], engine="ray", time_limit=60)
thread.join()
print(progress.done, progress.failed)
ray.shutdown()
cluster.shutdown()
"""


@pytest.fixture
def toy(workshop: Path) -> Path:
    pytest.importorskip("ray")
    return toy_in(workshop)


def test_a_cluster_answers_as_one_machine_does(toy: Path, tmp_path: Path) -> None:
    archive_of(tmp_path / "in", 20)
    (tmp_path / "in" / "bad.wav").write_bytes(b"RIFF")
    (tmp_path / "in" / "dies-always.wav").write_bytes(speech(3))
    env = sabotage(tmp_path, TOY_MARK=str(tmp_path))
    options = [tmp_path / "in", "--model", toy, "--workers", "1"]
    done = run(*options, "-o", tmp_path / "ray", "--engine", "ray", env=env)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("22 files")
    assert "2 with an error" in line
    assert sorted(name for name in heard(tmp_path) if name.startswith("dies")) == ["dies-always.wav"] * 2
    assert run(*options, "-o", tmp_path / "local", env=env).returncode == 1
    assert named(tmp_path / "ray") == named(tmp_path / "local")
    assert named(tmp_path / "ray")["dies-always.wav"]["error"] == "decoder_died"
    assert_no_orphans(str(tmp_path))


@pytest.mark.long
def test_a_machine_that_is_lost_costs_nothing(toy: Path, tmp_path: Path) -> None:
    archive_of(tmp_path / "in", 300)
    for number in range(20):
        (tmp_path / "in" / f"slow-{number}.wav").write_bytes(speech(number))
    env = sabotage(tmp_path, TOY_MARK=str(tmp_path), TOY_SLOW="0.5")
    done = subprocess.run(
        [sys.executable, "-c", _LOSS, tmp_path / "in", tmp_path / "ray", toy],
        env=env,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    # Ray itself may speak in between, of the machine that it misses.
    assert {"lost", "320 0"} <= set(done.stdout.splitlines()), done.stdout + done.stderr[-2000:]
    assert run(tmp_path / "in", "-o", tmp_path / "local", "--model", toy).returncode == 0
    assert named(tmp_path / "ray") == named(tmp_path / "local")
    assert_no_orphans(str(tmp_path))


@pytest.mark.long
def test_a_run_on_a_cluster_that_is_told_to_end_keeps_what_it_was_told(toy: Path, tmp_path: Path) -> None:
    archive_of(tmp_path / "in", 40)
    (tmp_path / "in" / "waits.wav").write_bytes(noise(70))
    env = sabotage(tmp_path, TOY_MARK=str(tmp_path))
    options = [tmp_path / "in", "-o", tmp_path / "out", "--model", toy, "--engine", "ray", "--workers", "1"]
    with subprocess.Popen(
        command(*options, "--json-progress"), env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(60) == 143
    assert rest.splitlines()[-1] == "Terminated."
    assert 0 < len(named(tmp_path / "out")) < 41
    assert_no_orphans(str(tmp_path))


def test_what_cannot_begin_on_a_cluster_is_one_line(toy: Path, tmp_path: Path) -> None:
    archive_of(tmp_path / "in", 1)
    options = [tmp_path / "in", "-o", tmp_path / "out", "--model", toy, "--engine", "ray"]
    missing = tmp_path / "path"
    missing.mkdir()
    (missing / "sitecustomize.py").write_text("import sys\nsys.modules['ray'] = None\n")
    without = environment(PYTHONPATH=f"{missing}:{environment()['PYTHONPATH']}")
    nowhere = environment(RAY_ADDRESS="127.0.0.1:9")
    for env, code, words in (
        (without, "missing_extra", "voxtrait[ray]"),
        (nowhere, "cluster", "127.0.0.1:9"),
    ):
        done = run(*options, env=env)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error[{code}]: ")
        assert words in line
