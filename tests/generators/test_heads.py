import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from generators.heads import TokenEmbedding, TokenHead, draw_tokens
from generators.nets import fourier_features
from generators.token_matrix import TokenMatrix, damped_features, ordinal_basis, owns_vector
from pipeline.encoded import Layout, TokenColumn

from .tables import binned_column, every_row, rng, token_column, token_layout

MIXED = Layout(
    (token_column("city", [70, 20, 10]), binned_column("age", 4, n_categories=1), token_column("sex", [5, 5]))
)


def test_drawn_tokens_follow_the_softmax_of_their_group():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0], [3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    group = torch.arange(30_000) % 3
    drawn = draw_tokens(logits, group, rng())
    for i, shares in enumerate(logits.double().softmax(1)):
        counts = torch.bincount(drawn[group == i], minlength=4)
        assert chisquare(counts.numpy(), shares.numpy() * 10_000).pvalue > 0.001


def test_a_token_of_probability_zero_is_never_drawn():
    for place in range(4):
        logits = torch.zeros(1, 4)
        logits[0, place] = -torch.inf
        drawn = draw_tokens(logits, torch.zeros(20_000, dtype=torch.long), rng(place))
        assert torch.bincount(drawn, minlength=4)[place] == 0
        assert drawn.unique().tolist() == [token for token in range(4) if token != place]


@pytest.mark.parametrize("uniform", [0.0, 1 - 2.0**-53])
def test_a_token_of_probability_zero_is_not_drawn_at_the_ends_either(uniform, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda n, **options: torch.full((n,), uniform, dtype=options["dtype"]))
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).expand(5000, 4)
    drawn = draw_tokens(logits, torch.arange(5000), rng())
    assert set(drawn.tolist()) == {1 if uniform == 0.0 else 2}


def test_many_groups_of_many_tokens_are_searched_in_their_own_range():
    logits = torch.full((500, 300), -torch.inf)
    wanted = torch.randint(300, (500,), generator=rng())
    logits[torch.arange(500), wanted] = 0.0
    group = torch.randint(500, (5000,), generator=rng(1))
    assert torch.equal(draw_tokens(logits, group, rng()), wanted[group])


def test_no_rows_draw_no_tokens():
    assert draw_tokens(torch.zeros(0, 3), torch.empty(0, dtype=torch.long), rng()).shape == (0,)


def test_the_head_starts_at_the_train_marginals():
    head = TokenHead(MIXED, 32, rng())
    nll = head.negative_log_likelihood(torch.zeros(3, 3, 32), torch.tensor([[0, 1, 0], [1, 2, 1], [2, 4, 0]]))
    assert (-nll[:, 0]).exp().tolist() == pytest.approx([70.5 / 101.5, 20.5 / 101.5, 10.5 / 101.5])
    hidden = torch.nn.functional.layer_norm(torch.randn(200, 32, generator=rng()), (32,))
    shares = torch.softmax(head.columns().logits(hidden, 0), dim=1)
    assert shares.mean(0).tolist() == pytest.approx([0.7, 0.2, 0.1], abs=0.02)


def test_the_head_is_a_distribution_over_each_column():
    head, hidden = TokenHead(MIXED, 8, rng()), torch.randn(1, 3, 8, generator=rng())
    rows = every_row(MIXED).tokens
    nll = head.negative_log_likelihood(hidden.expand(len(rows), 3, 8), rows)
    for column, size in enumerate(MIXED.sizes):
        of_each_token = torch.stack([nll[rows[:, column] == token, column][0] for token in range(size)])
        assert (-of_each_token).exp().sum().item() == pytest.approx(1.0, abs=1e-5)


def test_sampling_and_training_read_the_same_head():
    head, hidden = TokenHead(MIXED, 8, rng()), torch.randn(5, 3, 8, generator=rng())
    tokens = torch.tensor([[0, 1, 0]] * 5)
    nll = head.negative_log_likelihood(hidden, tokens)
    for column in range(3):
        log_p = head.columns().logits(hidden[:, column], column).log_softmax(1)[:, tokens[0, column]]
        torch.testing.assert_close(log_p, -nll[:, column])


@pytest.mark.parametrize("n_rows", [3, 400], ids=["through the features", "from the matrix"])
def test_vectors_are_the_rows_of_the_matrix(n_rows):
    layout = Layout((*MIXED.columns, binned_column("x", 300)))
    matrix = TokenMatrix(layout, 6, rng(), scale=1.0)
    tokens = torch.stack([torch.randint(size, (n_rows,), generator=rng(size)) for size in layout.sizes], 1)
    torch.testing.assert_close(matrix.vectors(tokens), matrix()[tokens + matrix.offsets])


def test_logits_are_products_with_the_rows_of_the_matrix():
    counts = np.full(300, 30)
    counts[7] = 3000  # a spike has a vector of its own
    repeated = TokenColumn("r", counts, np.ones(300, bool), np.zeros(300, bool), np.linspace(0, 1, 300))
    layout = Layout((*MIXED.columns, binned_column("x", 300), repeated))
    matrix, hidden = TokenMatrix(layout, 6, rng(), scale=1.0), torch.randn(4, 5, 6, generator=rng(1))
    assert matrix.n_owned[4] == 1
    for column, (logits, rows) in enumerate(
        zip(matrix.logits(hidden), torch.split(matrix(), matrix.sizes), strict=True)
    ):
        torch.testing.assert_close(logits, hidden[:, column] @ rows.T, rtol=1e-4, atol=1e-4)


def test_a_bin_has_only_a_smooth_vector_and_a_category_only_its_own():
    matrix = TokenMatrix(MIXED, 6, rng(), scale=1.0)
    before = matrix()
    with torch.no_grad():
        matrix.free += 1.0
    moved = (matrix() - before).abs().sum(1) > 0
    assert moved.tolist() == [True, True, True, True, False, False, False, False, True, True]
    with torch.no_grad():
        matrix.free -= 1.0
        matrix.smooth += 1.0
    moved = ((matrix() - before).abs() > 1e-4).any(1)
    assert moved.tolist() == [False, False, False, False, True, True, True, True, False, False]


def test_the_smooth_vector_of_a_bin_is_that_of_its_coordinate():
    matrix = TokenMatrix(MIXED, 6, rng(), scale=1.0)
    quantiles, ranks = torch.tensor([0.125, 0.375, 0.625, 0.875]), torch.tensor([0.0, 1 / 3, 2 / 3, 1.0])
    features = torch.cat([damped_features(quantiles, 32), damped_features(ranks, 8)], dim=1)
    torch.testing.assert_close(matrix()[4:8], features @ matrix.smooth[0])


def test_a_smooth_feature_is_the_smaller_the_higher_its_frequency():
    x, frequency = torch.linspace(0, 1, 7), torch.arange(1, 9)
    features = damped_features(x, 8)
    assert torch.equal(features[:, 0], x)
    scale = features[:, 1:9].hypot(features[:, 9:])  # of sine and cosine together
    torch.testing.assert_close(scale, (1 / (1 + frequency**2 / 16).sqrt()).expand(7, 8))
    torch.testing.assert_close(features[:, [4, 12]] * 2**0.5, fourier_features(x, 8)[:, [4, 12]])


def test_ordered_columns_of_different_sizes_find_their_rows():
    layout = Layout((binned_column("a", 5), token_column("b", [1, 1]), binned_column("c", 3, n_categories=2)))
    phi, rows, cells = ordinal_basis(layout)
    assert phi.shape == (2, 5, 82)
    assert rows.tolist() == [0, 1, 2, 3, 4, 9, 10, 11]
    coordinates = phi.flatten(0, 1)[cells, 0].tolist()
    assert coordinates == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9, 1 / 6, 3 / 6, 5 / 6])


def ordered_column(counts, valued=None):
    n = len(counts)
    flags = np.zeros(n, dtype=np.bool_) if valued is None else np.array(valued)
    coordinate = (np.arange(n) + 0.5) / max(1, n)
    return TokenColumn("x", np.array(counts), np.ones(n, dtype=np.bool_), flags, coordinate)


@pytest.mark.parametrize(
    ("counts", "owners"),
    [
        ([30] * 300, []),  # each among its like, and under .4 % of the rows
        ([30] * 300 + [36] * 2 + [60] + [36] * 2 + [30] * 300, [302]),  # a spike of less than .4 %
        ([10] * 300 + [19] + [10] * 300, []),  # a spike of fewer than 20 rows
        ([500] * 8, list(range(8))),  # common values
        ([19], []),
        ([60, 60], [0, 1]),
        ([], []),
    ],
)
def test_common_values_and_spikes_own_a_vector(counts, owners):
    other = token_column("other", np.array([1]))
    found = owns_vector(Layout((ordered_column(counts), other)))
    assert found.nonzero().flatten().tolist() == [*owners, len(counts)]  # a category always owns one


def test_a_bin_never_owns_a_vector():
    assert not owns_vector(Layout((ordered_column([500, 500, 500], [True, True, True]),))).any()


def test_a_layout_without_order_has_no_smooth_part():
    matrix = TokenMatrix(token_layout(2, 3), 4, rng(), scale=1.0)
    assert torch.equal(matrix(), matrix.free)


def test_the_embedding_adds_the_vectors_of_known_tokens_and_of_masks():
    embedding = TokenEmbedding(MIXED, 4, rng())
    tokens, known = torch.tensor([[2, 3, 1]]), torch.tensor([[True, False, True]])
    expected = embedding.matrix()[2] + embedding.masked[1] + embedding.matrix()[9]
    torch.testing.assert_close(embedding(tokens, known)[0], expected)


def test_a_masked_token_is_not_seen():
    embedding, known = TokenEmbedding(MIXED, 4, rng()), torch.tensor([[True, False, True]])
    seen = [embedding(torch.tensor([[2, token, 1]]), known) for token in range(5)]
    assert all(torch.equal(vector, seen[0]) for vector in seen)


def test_a_token_that_train_never_met_is_improbable_and_not_impossible():
    head = TokenHead(Layout((token_column("a", np.array([99, 0])),)), 4, rng())
    nll = head.negative_log_likelihood(torch.zeros(1, 1, 4), torch.tensor([[1]]))
    assert (-nll).exp().item() == pytest.approx(0.5 / 100)
