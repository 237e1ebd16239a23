import numpy as np
import torch

from generators.detection_score import MOST_GROUPS, DetectionScore
from pipeline.encoded import Layout

from .tables import binned_column, rng, token_layout

PAIR = token_layout(4, 4)


def correlated(n, agreement, seed=0):
    """Two columns of four levels that agree in a part of the rows."""
    random = rng(seed)
    first, other = (torch.randint(4, (n,), generator=random) for _ in range(2))
    agree = torch.rand(n, generator=random) < agreement
    return torch.stack([first, torch.where(agree, first, other)], 1)


def test_rows_of_the_same_distribution_score_zero_on_average():
    score = DetectionScore(PAIR)
    scores = [score(correlated(400, 0.6, seed), correlated(1000, 0.6, seed + 100)).mean().item() for seed in range(30)]
    assert abs(np.mean(scores)) < 3 * np.std(scores) / np.sqrt(30)


def test_the_score_grows_with_what_is_lost_of_a_dependence():
    score = DetectionScore(PAIR)
    scores = [score(correlated(2000, 0.8), correlated(4000, agreement, 1)).mean().item() for agreement in (0.8, 0.6, 0)]
    assert scores[0] < scores[1] / 5 < scores[2] / 10


def test_one_score_per_held_out_row():
    assert DetectionScore(PAIR)(correlated(7, 0.5), correlated(20, 0.5)).shape == (7,)


def test_groups_follow_the_quantile_and_keep_common_categories_apart():
    layout = Layout((binned_column("x", 100, n_categories=2), *token_layout(3, 40).columns))
    groups = DetectionScore(layout).group
    x, three, forty = (groups[a:b] for a, b in ((0, 102), (102, 105), (105, 145)))
    assert len(set(x[:2].tolist()) - set(x[2:].tolist())) == 2
    assert (x[2:].diff() >= 0).all()
    assert set(x[2:].unique(return_counts=True)[1].tolist()) == {12, 13}
    assert len(set(three.tolist())) == 3
    assert len(set(forty.tolist())) == MOST_GROUPS
    assert not set(x.tolist()) & set(three.tolist()) & set(forty.tolist())


def test_modes_are_single_groups_and_pairs_and_a_missing_one_is_noticed():
    score = DetectionScore(PAIR)
    train = correlated(2000, 1.0)
    assert score.modes(train, correlated(2000, 1.0, 1)) == {"modes": 12, "missed_share": 0.0}
    collapsed = train[train[:, 0] != 2]
    assert score.modes(train, collapsed)["missed_share"] == 3 / 12
