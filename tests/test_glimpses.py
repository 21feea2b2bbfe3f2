"""Where a glimpse looks, and how a policy learns where to look: worked numbers, chance and PyTorch."""

import itertools
import math

import numpy as np
import pytest

import scratchattn as sa

VARIANTS = {v.name: v.params for v in sa.glimpse_sensor.variants}


def numbered(height, width):
    """An image whose every pixel tells its row and column: 10 row + column."""
    return 10.0 * np.arange(height)[:, None] + np.arange(width)


def look(image, location, **params):
    return sa.glimpse_sensor(image, np.array(location, float), **{"patches": 1} | params)


# ---- where the sensor looks -------------------------------------------------


def test_the_middle_of_an_image_is_its_middle():
    assert (look(numbered(4, 6), [0, 0], size=2)[0] == [[12, 13], [22, 23]]).all()
    assert (look(numbered(5, 7), [0, 0], size=3)[0] == [[12, 13, 14], [22, 23, 24], [32, 33, 34]]).all()


def test_x_is_the_column_and_comes_first():
    image = numbered(4, 6)
    assert (look(image, [2 / 3, 0], size=2)[0] == [[14, 15], [24, 25]]).all()
    assert (look(image, [0, 0.5], size=2)[0] == [[22, 23], [32, 33]]).all()
    assert (look(image, [0.5, 0], size=2, order="yx")[0] == [[22, 23], [32, 33]]).all()


def test_at_a_corner_three_quarters_of_a_glimpse_are_black():
    image = numbered(4, 6) + 1
    assert (look(image, [-1, -1], size=2)[0] == [[0, 0], [0, 1]]).all()
    assert (look(image, [1, -1], size=2)[0] == [[0, 0], [6, 0]]).all()
    assert (look(image, [1, 1], size=2)[0] == [[36, 0], [0, 0]]).all()


def test_an_odd_size_at_the_last_corner_is_as_large_as_anywhere():
    """kevinzakka's crop is one pixel short there."""
    image = numbered(4, 6) + 1
    for rules in ({}, VARIANTS["kevinzakka"]):
        assert look(image, [1, 1], size=3, **rules).shape == (1, 3, 3)
    assert (look(image, [1, 1], size=3)[0] == [[0, 0, 0]] * 3).sum() == 8
    assert (look(image, [-1, -1], size=3)[0] == [[0, 0, 0], [0, 1, 2], [0, 11, 12]]).all()


def test_beyond_the_image_there_is_nothing_or_its_edge():
    image = numbered(4, 6) + 1
    for location in ([1.5, 0], [0, -3], [-1e30, 1e30], [math.inf, 0], [-math.inf, math.inf]):
        assert not look(image, location, size=2, patches=2, scale=1).any()
    for location in ([1.5, 1.5], [math.inf, math.inf]):
        assert (look(image, location, size=2, padding="edge") == image[-1, -1]).all()


def test_a_location_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"^glimpse_sensor: location must be a number, got nan"):
        look(numbered(4, 4), [0, math.nan], size=2)


def test_a_patch_larger_than_the_image_has_it_in_the_middle():
    padded = np.zeros((8, 8))
    padded[2:6, 3:5] = numbered(4, 2) + 1
    assert (look(numbered(4, 2) + 1, [0, 0], size=8)[0] == padded).all()


def test_each_patch_is_twice_as_wide_and_averaged_down(rng):
    image = rng.normal(size=(16, 16))
    glimpse = look(image, [0, 0], size=4, patches=3)
    assert (glimpse[0] == image[6:10, 6:10]).all()
    assert abs(glimpse[1] - image[4:12, 4:12].reshape(4, 2, 4, 2).mean((1, 3))).max() < 1e-15
    assert abs(glimpse[2] - image.reshape(4, 4, 4, 4).mean((1, 3))).max() < 1e-15


def test_a_pixel_in_several_patches_answers_to_all():
    image = np.zeros((16, 16))
    _, pullback = sa.vjp(lambda x: look(x, [0, 0], size=4, patches=3), image)
    (gradient,) = pullback(np.ones((3, 4, 4)))
    assert (gradient[6:10, 6:10] == 1 + 1 / 4 + 1 / 16).all()
    assert gradient[5, 5] == 1 / 4 + 1 / 16 and gradient[0, 0] == 1 / 16


def test_what_is_cut_off_gets_no_gradient():
    _, pullback = sa.vjp(lambda x: look(x, [1, 1], size=4), np.zeros((6, 6)))
    (gradient,) = pullback(np.ones((1, 4, 4)))
    assert gradient.sum() == 4 and (gradient[4:, 4:] == 1).all()
    _, pullback = sa.vjp(lambda x: look(x, [1, 1], size=4, padding="edge"), np.zeros((6, 6)))
    (gradient,) = pullback(np.ones((1, 4, 4)))
    assert gradient.sum() == 16 and gradient[5, 5] == 9


@pytest.mark.parametrize(
    "placement, expected",
    [
        ("nearest", [1, 2, 3]),
        ("round", [1, 1, 3]),
        ("floor", [0, 1, 2]),
        ("corner", [0, 1, 2]),
        ("truncated", [0, 1, 2]),
    ],
)
def test_halves_are_rounded_up_and_by_others_to_the_even_or_down(placement, expected):
    """The middle of two pixels is to lie at 1.5, 2.5 and 3.5."""
    image = numbered(1, 8)
    for middle, first in zip((1.5, 2.5, 3.5), expected):
        glimpse = look(image, [middle / 4 - 1, 0], size=2, placement=placement)
        assert glimpse.max() == first + 1


def test_on_images_that_are_not_square_kevinzakka_looks_at_the_wrong_column():
    """l = (1, 0) on 20 by 40: the right edge is column 39, not 19."""
    image = np.broadcast_to(np.arange(40.0), (20, 40))
    ours, theirs = (look(image, [1, 0], size=4, **rules)[0] for rules in ({}, VARIANTS["kevinzakka"]))
    assert ours[0].tolist() == [38, 39, 0, 0]
    assert theirs[0].tolist() == [18, 19, 20, 21]


def test_dpnn_keeps_the_middle_of_a_glimpse_on_the_image():
    image = numbered(5, 5) + 1
    for location, middle in (([-1, -1], 1), ([1, 1], 45), ([9, -9], 41), ([-1, 1], 5)):
        assert look(image, location, size=3, **VARIANTS["dpnn"])[0, 1, 1] == middle


def test_a_padded_crop_is_the_same_glimpse(rng):
    """As the code of kevinzakka and jlindsey15 does it: pad, then cut."""
    image = rng.normal(size=(8, 8))
    padded = np.pad(image, 8)
    for _ in range(20):
        location = rng.uniform(-1, 1, size=2)
        x, y = np.floor(0.5 * (location + 1) * 8).astype(int)
        theirs = padded[8 + y - 2 : 8 + y + 2, 8 + x - 2 : 8 + x + 2]
        assert (look(image, location, size=4, **VARIANTS["kevinzakka"])[0] == theirs).all()
        row, column = np.rint((location + 1) / 2 * 8).astype(int)
        theirs = padded[8 + row - 4 : 8 + row + 4, 8 + column - 4 : 8 + column + 4]
        found = look(image, location, size=4, patches=2, **VARIANTS["jlindsey15"])
        assert (found[1] == theirs[::2, ::2]).all()


def test_channels_share_the_look_and_the_batch_keeps_its_order(rng):
    image, location = rng.normal(size=(4, 3, 6, 6)), rng.uniform(-1, 1, size=(4, 1, 2))
    glimpse = sa.glimpse_sensor(image, location, size=2, patches=2)
    assert glimpse.shape == (4, 3, 2, 2, 2)
    order = rng.permutation(4)
    assert (sa.glimpse_sensor(image[order], location[order], size=2, patches=2) == glimpse[order]).all()
    for b, c in itertools.product(range(4), range(3)):
        assert (sa.glimpse_sensor(image[b, c], location[b, 0], size=2, patches=2) == glimpse[b, c]).all()


def test_the_location_takes_no_gradient():
    with pytest.raises(TypeError, match="location has no gradient"):
        sa.glimpse_sensor(np.ones((4, 4)), sa.Tensor(np.zeros(2)), size=2, patches=1)


# ---- the score --------------------------------------------------------------


def within(samples, expected, sigmas=4.0):
    """Whether the mean of ``samples`` is ``expected``, as far as their number allows to tell."""
    error = samples.std(0) / math.sqrt(len(samples))
    return (abs(samples.mean(0) - expected) <= sigmas * error).all() and (error > 0).all()


def gaussian_scores(mean, deviation, action, weight=1.0, **params):
    """One gradient by mean and deviation for each action."""
    n = len(action)
    inputs = np.tile(mean, (n, 1)), np.tile(deviation, (n, 1))
    _, pullback = sa.vjp(lambda m, s: sa.gaussian_log_probability(m, s, action, **params), *inputs)
    return np.concatenate(pullback(np.broadcast_to(weight, (n,)) * 1.0), axis=-1)


def test_the_mean_score_of_a_gaussian_is_zero(rng):
    mean, deviation = np.array([0.4, -0.9]), np.array([0.2, 0.5])
    action = mean + deviation * rng.normal(size=(100_000, 2))
    assert within(gaussian_scores(mean, deviation, action), 0.0)
    assert not within(gaussian_scores(mean, deviation, np.clip(action, -1, 1)), 0.0)


def test_the_mean_score_of_a_categorical_policy_is_zero(rng):
    logits = np.array([0.3, -1.2, 0.8])
    action = rng.choice(3, p=np.exp(logits) / np.exp(logits).sum(), size=50_000)
    many = np.tile(logits, (len(action), 1))
    _, pullback = sa.vjp(lambda z: sa.categorical_log_probability(z, action), many)
    assert within(pullback(np.ones(len(action)))[0], 0.0)


def test_reinforce_finds_the_gradient_of_a_quadratic_reward(rng):
    """E[-(a - 1)^2] = -(m - 1)^2 - s^2, with any baseline that does not look at a."""
    mean, deviation = np.array([0.3]), np.array([0.7])
    action = mean + deviation * rng.normal(size=(200_000, 1))
    reward = -((action[:, 0] - 1) ** 2)
    expected = [-2 * (mean[0] - 1), -2 * deviation[0]]
    spreads = []
    for baseline in (0.0, -(0.7**2) - 0.7**2, 5.0):
        found = gaussian_scores(mean, deviation, action, reward - baseline)
        assert within(found, expected)
        spreads.append(found.std(0)[0])
    assert spreads[1] < spreads[0] < spreads[2]  # the mean reward is the baseline that helps


def test_reinforce_finds_the_gradient_of_two_arms(rng):
    logits, gains = np.array([0.2, -0.5]), np.array([1.0, 3.0])
    p = np.exp(logits) / np.exp(logits).sum()
    truth = p * (gains - p @ gains)  # of the mean reward
    action = rng.choice(2, p=p, size=(20_000, 1))
    reward = gains[action] + rng.normal(size=action.shape)
    many = np.tile(logits, (20_000, 1, 1))
    _, pullback = sa.vjp(lambda z: sa.reinforce(sa.categorical_log_probability(z, action), reward), many)
    assert within(-20_000 * pullback(np.float64(1.0))[0][:, 0], truth)


def test_a_reward_that_is_the_same_for_all_teaches_nothing_in_the_mean(rng):
    mean, deviation = np.zeros(1), np.ones(1)
    action = rng.normal(size=(100_000, 1))
    for baseline in (0.0, 0.5, rng.normal(size=100_000)):
        assert within(gaussian_scores(mean, deviation, action, 1.0 - baseline), 0.0)


def clipped_example():
    """mu = 0.9, s = 0.25, looks clipped at 1 and rewarded by l + 1[l > 0.95]: nodes, shares, rewards."""
    looks = np.linspace(0.9 - 2.5, 0.9 + 2.5, 100_001)[:, None]
    share = np.exp(sa.gaussian_log_probability(np.array([0.9]), np.array([0.25]), looks)) * 5e-5
    clipped = np.clip(looks[:, 0], -1, 1)
    return looks, share, clipped + (clipped > 0.95)


def test_a_clipped_look_keeps_the_score_that_it_was_drawn_with():
    looks, share, reward = clipped_example()
    drawn = gaussian_scores(0.9, 0.25, looks)[:, 0]
    assert abs(share.sum() - 1) < 1e-12 and abs(share @ drawn) < 1e-9
    up, down = (share_around(0.9 + step) @ reward for step in (1e-4, -1e-4))
    assert abs(share @ (reward * drawn) - 2.22) < 0.005
    assert abs(share @ (reward * drawn) - (up - down) / 2e-4) < 1e-4


def share_around(mean):
    looks = np.linspace(0.9 - 2.5, 0.9 + 2.5, 100_001)
    return np.exp(-((looks - mean) ** 2) / (2 * 0.25**2)) / (0.25 * math.sqrt(2 * math.pi)) * 5e-5


@pytest.mark.parametrize("name", ["jlindsey15", "hehefan", "saccader"])
def test_the_score_of_the_clipped_look_is_biased(name):
    """-0.92 where it must be zero; so the baseline matters: 0.38 without, 1.54 with the mean reward."""
    rules = {v.name: v.params for v in sa.gaussian_log_probability.variants}[name]
    looks, share, reward = clipped_example()
    clipped = gaussian_scores(0.9, 0.25, looks, **rules)[:, 0]
    assert abs(share @ clipped + 0.922) < 5e-4
    assert abs(share @ (reward * clipped) - 0.376) < 5e-4
    assert abs(share @ ((reward - share @ reward) * clipped) - 1.54) < 5e-3


def mean_gradient(n, **rules):
    """Of n choices between two arms, over all that may happen; and what it should be."""
    logits, gains = np.array([0.2, -0.5]), np.array([1.0, 3.0])
    p = np.exp(logits) / np.exp(logits).sum()
    total = 0.0
    for choices in itertools.product((0, 1), repeat=n):
        action = np.array(choices)[:, None]
        _, pullback = sa.vjp(
            lambda z, a=action: sa.reinforce(sa.categorical_log_probability(z, a), gains[a], **rules), logits
        )
        total = total - p[list(choices)].prod() * pullback(np.float64(1.0))[0]
    return total, p * (gains - p @ gains)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_mean_with_its_own_part_shrinks_the_gradient_and_leaving_one_out_does_not(n):
    for centre, share in ((None, 1.0), ("leave_one_out", 1.0), ("mean", 1 - 1 / n)):
        found, truth = mean_gradient(n, centre=centre)
        assert abs(found - share * truth).max() < 1e-15


def test_a_last_look_that_nothing_depends_on_has_no_part_in_the_mean_gradient():
    """Two looks; the reward knows the first alone."""
    logits, gains = np.array([[0.2, -0.5], [1.0, 0.3]]), np.array([1.0, 3.0])
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mean = square = 0.0
    for choices in itertools.product((0, 1), repeat=2):
        action, reward = np.array([choices]), np.full((1, 2), gains[choices[0]])
        _, pullback = sa.vjp(
            lambda z, a=action, r=reward: sa.reinforce(sa.categorical_log_probability(z, a), r),
            logits[None],
        )
        chance, gradient = p[0, choices[0]] * p[1, choices[1]], pullback(np.float64(1.0))[0][0]
        mean, square = mean + chance * gradient, square + chance * gradient**2
    assert abs(mean[1]).max() < 1e-15 and abs(mean[0]).max() > 0.1
    assert square[1].min() > 0.1  # but noise it has


# ---- what goes where --------------------------------------------------------


def test_the_log_probability_of_a_look_is_the_sum_over_its_coordinates(rng):
    mean, deviation, action = rng.normal(size=(3, 4)), rng.gamma(2.0, size=(3, 4)), rng.normal(size=(3, 4))
    whole = sa.gaussian_log_probability(mean, deviation, action)
    parts = [
        sa.gaussian_log_probability(*[x[:, i : i + 1] for x in (mean, deviation, action)]) for i in range(4)
    ]
    assert abs(whole - sum(parts)).max() < 1e-14


@pytest.mark.parametrize("rules", [{}, {"centre": "leave_one_out"}, {"centre": "mean", "average": "all"}])
def test_a_batch_in_another_order_is_the_same_batch(rng, rules):
    log_probability, reward, baseline = rng.normal(size=(3, 5, 4))
    order = rng.permutation(5)

    def loss(x, rows):
        return sa.reinforce(x, reward[rows], baseline[rows], **rules)

    one, pullback = sa.vjp(lambda x: loss(x, slice(None)), log_probability)
    other, pull = sa.vjp(lambda x: loss(x, order), log_probability[order])
    assert abs(one - other) < 1e-14
    assert abs(pullback(np.float64(1))[0][order] - pull(np.float64(1))[0]).max() < 1e-15


def test_neither_action_nor_reward_nor_baseline_takes_a_gradient():
    ones = np.ones((2, 2))
    for name in ("reward", "baseline"):
        given = {"log_probability": ones, "reward": ones, "baseline": ones} | {name: sa.Tensor(ones)}
        with pytest.raises(TypeError, match=f"reinforce: {name} has no gradient"):
            sa.reinforce(**given)
    with pytest.raises(TypeError, match="action has no gradient"):
        sa.gaussian_log_probability(ones, ones, sa.Tensor(ones))


def test_one_deviation_away_the_score_of_the_deviation_keeps_its_digits():
    """(x - 1)(x + 1) / s, which the square less one would have lost."""
    from fractions import Fraction

    mean, deviation, action = np.zeros(1), np.array([0.3]), np.array([0.3 * (1 + 1e-9)])
    _, pullback = sa.vjp(lambda s: sa.gaussian_log_probability(mean, s, action), deviation)
    s, a = Fraction(0.3), Fraction(action[0])
    truth = float((a * a - s * s) / s**3)
    assert abs(pullback(np.float64(1.0))[0][0] - truth) <= 1e-15 * truth


@pytest.mark.parametrize(
    "op, inputs, params, message",
    [
        ("gaussian_log_probability", [(2,), (2,), (2,)], {"clip": 0.0}, "clip must be None or positive"),
        ("reinforce", [(2, 2), (2, 2)], {"centre": "median"}, "centre must be None, 'mean' or"),
        ("reinforce", [(2, 2), (2, 2)], {"average": "t"}, "average must be 'batch', 'all' or 'none'"),
        ("reinforce", [(1, 2), (1, 2)], {"centre": "leave_one_out"}, "needs a batch of 2, got 1"),
        ("reinforce", [(0, 2), (0, 2)], {}, "b and t must be at least 1, got 0 and 2"),
        ("glimpse_sensor", [(4, 4), (2,)], {"size": 0, "patches": 1}, "size must be an int from 1"),
        ("glimpse_sensor", [(4, 4), (2,)], {"size": 2, "patches": 1, "order": "ij"}, "order must be one of"),
        ("glimpse_sensor", [(0, 4), (2,)], {"size": 2, "patches": 1, "padding": "edge"}, "has no edge"),
    ],
)
def test_a_wrong_param_is_refused_by_name(op, inputs, params, message):
    with pytest.raises(ValueError, match=f"^{op}: .*{message}"):
        sa.REGISTRY[op](*[np.ones(shape) for shape in inputs], **params)


def test_a_deviation_that_is_not_positive_is_refused():
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="deviation must be positive, got"):
            sa.gaussian_log_probability(np.zeros(2), np.array([1.0, wrong]), np.zeros(2))


# ---- PyTorch ----------------------------------------------------------------


@pytest.mark.peers
def test_log_probabilities_are_pytorchs(rng):
    torch = pytest.importorskip("torch")
    from torch.distributions import Categorical, Normal

    mean, deviation, action = rng.normal(size=(3, 2)), rng.gamma(2.0, size=(3, 1)), rng.normal(size=(3, 2))
    logits, choice, weights = rng.normal(size=(3, 4)), rng.integers(0, 4, size=3), rng.normal(size=3)
    theirs = [torch.tensor(x, requires_grad=True) for x in (mean, deviation, logits)]
    normal = Normal(*theirs[:2]).log_prob(torch.tensor(action)).sum(-1)
    categorical = Categorical(logits=theirs[2]).log_prob(torch.tensor(choice))
    (normal + categorical).backward(torch.tensor(weights))
    ours, pull = sa.vjp(lambda m, s: sa.gaussian_log_probability(m, s, action), mean, deviation)
    other, pull_other = sa.vjp(lambda z: sa.categorical_log_probability(z, choice), logits)
    found = [ours, other, *pull(weights), *pull_other(weights)]
    for a, b in zip(found, [normal, categorical, *[x.grad for x in theirs]]):
        b = b.detach().numpy()
        assert abs(a - b).max() <= 1e-12 * abs(b).max()


@pytest.mark.peers
def test_the_sensor_is_pytorchs_pad_crop_and_average_pool(rng):
    torch = pytest.importorskip("torch")
    from torch.nn import functional

    image, location = rng.normal(size=(3, 2, 9, 9)), rng.uniform(-1, 1, size=(3, 1, 2))
    theirs = torch.tensor(image, requires_grad=True)
    corners = (0.5 * (torch.tensor(location[:, 0]) + 1) * 9).long()
    scales = []
    for k in range(3):
        wide = 2 * 2**k
        padded = functional.pad(theirs, (wide // 2,) * 4)
        crops = [padded[i, :, y : y + wide, x : x + wide] for i, (x, y) in enumerate(corners.tolist())]
        scales.append(functional.avg_pool2d(torch.stack(crops), 2**k))
    expected = torch.stack(scales, -3)
    rules = {"size": 2, "patches": 3, **VARIANTS["kevinzakka"]}
    out, pullback = sa.vjp(lambda x: sa.glimpse_sensor(x, location, **rules), image)
    weights = rng.normal(size=out.shape)
    expected.backward(torch.tensor(weights))
    assert abs(out - expected.detach().numpy()).max() < 1e-12
    assert abs(pullback(weights)[0] - theirs.grad.numpy()).max() < 1e-12
