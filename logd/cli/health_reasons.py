"""What cluster health tells beside the errors that clients are given, and what to do."""

HEALTH_REASONS = {
    "BACKGROUND_TASK_FAILED": (
        "Work in the background of the broker ended by a fault of logd.",
        "restart the broker, and report the traceback of its log",
    ),
    "CLOCK_LEAPT": (
        "The wall clock leapt ahead by over an hour: retention by time pauses.",
        "set the clock right; if it is right now, restart the broker",
    ),
    "FILE_DESCRIPTORS_LOW": (
        "Most of the file descriptors that the process may have are open.",
        "raise the hard limit (LimitNOFILE= of systemd, ulimit -Hn) and restart the broker",
    ),
    "ORPHANED": (
        "A directory with records of a topic that nothing tells of was set aside.",
        "logctl segments verify DIR says what it is, logctl segments adopt puts it back",
    ),
    "PARTITION_FILE_REWRITTEN": (
        "A partition's own description was damaged, and was made again from what others tell.",
        "nothing; look at the disk if it comes again",
    ),
    "POSSIBLE_LOSS": (
        "Records that were stored, or may have been, are gone or unreadable.",
        "docs/repair.md; restore a backup if they count",
    ),
    "RECOVERY_POINTS_LOST": (
        "The file that says what was synced was damaged: the last start read the logs instead.",
        "nothing; look at the disk if it comes again",
    ),
    "RETENTION_FAILED": (
        "Old records of a partition could not be removed, and may fill the disk.",
        "the message says what failed; it is tried again every 30 s",
    ),
    "TORN_TAIL": (
        "A segment ends in a batch that was being written when the machine failed.",
        "nothing: it was not acknowledged, and is cut off at the next start",
    ),
    "TWO_CONSUMERS": (
        "Two consumers of a group take the same partition, and commit over each other.",
        "stop one, or give it other partitions or another group",
    ),
}
"""reason -> (what it means, what to do)."""
