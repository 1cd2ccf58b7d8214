import re
from pathlib import Path

from benchmarks.etcd import command, report
from benchmarks.etcd.guarantees import Bank, Fence

GUARANTEES = report.Guarantees(200, Bank(900, 300, 0), Fence(100, 0))
MEASURED = {
    "per_s": 40_000.0,
    "cpu_s_per_1000": 0.05,
    "rss_mb": 25.0,
    "p50_ms": 0.5,
    "p99_ms": 1.0,
    "import_ms": 50.0,
    "installed_mb": 0.1,
    "lost": 0.0,
}


def measurements() -> report.Measurements:
    """Three rounds; the peers are slower than ours."""
    speed = {"aetcd": 0.5, "etcd3gw": 0.1}
    return {
        (client, what, count): [{**MEASURED, "per_s": 40_000 * speed.get(client, 1.0)}] * 3
        for client, what, count in command.turns(backwards=False)
    }


def write(folder: Path, measured: report.Measurements, guarantees: report.Guarantees) -> str:
    return report.write(folder, measured, guarantees, ["Machine: 2 cores.", "etcd 3.5.1."]).read_text()


def test_every_goal_that_is_reached_says_yes(tmp_path: Path) -> None:
    text = write(tmp_path, measurements(), GUARANTEES)
    assert "| put, 32 connections, to that of aetcd | ≥ 0.8 | 2 | yes |" in text.replace("---:", "")
    assert len(re.findall(r"\| yes \|", text)) == 18
    assert "| no |" not in text


def test_goal_that_is_missed_says_no(tmp_path: Path) -> None:
    measured = measurements()
    measured["ours", "import", 1] = [{**MEASURED, "import_ms": 81.0}] * 3
    lost = report.Guarantees(199, Bank(900, 300, 1), Fence(100, 1))
    text = write(tmp_path, measured, lost)
    assert "| import | ≤ 80 ms | 81 ms | no |" in text
    assert len(re.findall(r"\| no \|", text)) == 4


def test_gateway_is_left_out_where_wrk_is_not_installed(tmp_path: Path) -> None:
    measured = measurements()
    for measurement in measured:
        if measurement[0] == "gateway":
            measured[measurement] = [{}] * 3
    text = write(tmp_path, measured, GUARANTEES)
    assert "the gateway, asked by wrk |" not in text
    assert "| tor_async_etcd / aetcd | 2.00 |" in text
