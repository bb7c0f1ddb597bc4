"""Each broken promise of a group is found, and a good life gives no finding."""

import pytest

from logd.testing.group_story import GroupStory


def story() -> GroupStory:
    """Two members; a reads p up to 3 and commits, then it goes to b."""
    told = GroupStory()
    told.joined("a")
    told.joined("b")
    told.assigned(0, "a", "p")
    for offset in range(3):
        told.delivered("p", offset)
    told.committed("p", 3)
    told.released(100, "a", "p")
    told.assigned(150, "b", "p")
    return told


def test_a_good_life() -> None:
    told = story()
    told.delivered("p", 3)
    told.committed("p", 4)
    told.rewound("p", 1)
    told.committed("p", 2)
    told.found("p", 2)
    told.gone(200, "b")
    told.gone(250, "a")
    assert told.findings(now_ms=100_000, gap_ms=50) == []
    assert told.longest_gap_ms == 50


def test_what_is_done_is_given_again() -> None:
    told = story()
    told.delivered("p", 2, "a")
    assert told.findings(200, 1000) == [], "who has it no more cannot know"
    told.delivered("p", 2, "b")
    told.committed_beyond("p", {5})
    told.delivered("p", 4, "b")
    told.delivered("p", 5, "b")
    assert told.findings(200, 1000) == ["again: p 2, by b", "again: p 5, by b"]
    told.rewound("p", 0)
    told.delivered("p", 5, "b")
    assert len(told.findings(200, 1000)) == 2


def test_attempts_that_were_kept_are_counted_anew() -> None:
    told = story()
    told.committed_beyond("p", set(), {4: 2})
    told.tried("p", 4, 3, "b")
    told.tried("p", 4, 1, "a")
    assert told.findings(200, 1000) == [], "who has it no more cannot know"
    told.tried("p", 4, 2, "b")
    assert told.findings(200, 1000) == ["counted anew: p 4, attempt 2"]


def test_who_may_be_deleted_may_give_again_and_may_go_on() -> None:
    told = story()
    told.may_be_deleted()
    told.delivered("p", 2, "b")
    told.assigned(170, "b", "p", 3)
    assert told.findings(200, 1000) == []


def test_two_owners() -> None:
    told = story()
    told.assigned(160, "a", "p")
    assert told.findings(200, 1000) == ["two owners: p went to a, b has it"]


def test_who_was_cut_off_and_is_told_owns_nothing() -> None:
    told = story()
    told.assigned(160, "a", "p")
    told.lost(200, "b", "p")
    assert told.findings(200, 1000) == []
    told.released(300, "a", "p")
    assert told.findings(200, 1000) == []


def test_who_gives_up_what_another_has_owned_it_too_long() -> None:
    told = story()
    told.assigned(160, "a", "p")
    told.released(200, "b", "p")
    assert told.findings(200, 1000) == ["two owners: p went to a, b has it"]


def test_who_is_dead_owns_nothing() -> None:
    told = story()
    told.gone(155, "b")
    told.assigned(160, "a", "p")
    assert told.findings(200, 1000) == []


@pytest.mark.parametrize("ends", [False, True])
def test_a_gap(ends: bool) -> None:
    told = story()
    told.gone(200, "b")
    if ends:
        told.assigned(1_300, "a", "p")
    [finding] = told.findings(1_300, 1_000)
    assert finding.startswith("unowned: ") and "1100 ms" in finding


def test_a_record_that_nobody_was_given() -> None:
    told = story()
    told.delivered("p", 4)
    told.committed("p", 5)
    assert told.findings(200, 1000) == ["skipped: p is committed to 5 without {3}"]


def test_a_valid_commit_that_is_refused_and_one_of_a_zombie() -> None:
    told = story()
    told.refused("a", "p", 3)
    assert told.findings(200, 1000) == []
    told.refused("b", "p", 4)
    assert told.findings(200, 1000) == ["refused: b has p and committed 4"]
    assert told.valid_commits_refused == 1


def test_a_commit_that_nobody_made() -> None:
    told = story()
    told.commits("p", 4)
    told.found("p", 4)
    assert told.findings(200, 1000) == ["skipped: p is committed to 4 without {3}"]
    told.found("p", 5)
    assert "nobody's: p is committed to 5" in told.findings(200, 1000)


def test_a_grant_behind_what_nobody_committed() -> None:
    told = story()
    told.released(160, "b", "p")
    told.assigned(170, "a", "p", 3)
    assert told.findings(200, 1000) == []
    told.released(180, "a", "p")
    told.assigned(190, "b", "p", 4)
    assert told.findings(200, 1000) == ["nobody's: p was granted from 4 on"]


def test_a_group_that_was_deleted_begins_anew() -> None:
    told = story()
    told.deleted()
    told.assigned(300, "b", "p")
    told.delivered("p", 0)
    told.commits("p", 1)
    told.found("p", 1)
    assert told.findings(400, 1000) == []


def test_a_commit_that_goes_back() -> None:
    told = story()
    told.committed("p", 2)
    assert told.findings(200, 1000) == [], "an answer that came late"
    told.found("p", 2)
    assert told.findings(200, 1000) == ["went back: p from 3 to 2"]
