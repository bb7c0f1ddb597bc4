"""What is printed becomes events, a line each, whole or in parts."""

from structlog.testing import capture_logs

from logd.broker.printed_lines import BEGUN_BYTES_MAX, PrintedLines


def test_a_line_is_an_event() -> None:
    printed = PrintedLines()
    with capture_logs() as logs:
        print("one", "two", file=printed)
        print(file=printed)
        printed.write("thr")
        printed.write("ee\nfour")
    assert [log["event"] for log in logs] == ["one two", "three"]
    assert {(log["log_level"], log["library"]) for log in logs} == {("warning", "stderr")}


def test_a_line_without_end_is_not_kept_whole() -> None:
    printed = PrintedLines()
    with capture_logs() as logs:
        for _ in range(100):
            printed.write("x" * 1000)
        printed.write("\n")
    assert len(logs[0]["event"]) == BEGUN_BYTES_MAX
