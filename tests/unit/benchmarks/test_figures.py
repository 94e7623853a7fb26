"""Figures as people write them."""

import pytest

from harness.report.figures import figure, percent, ratio, scale_of


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1_234_567, "frames/s", "1.23 Mframes/s"),
        (999_600, "frames/s", "1.00 Mframes/s"),
        (999_400, "frames/s", "999 kframes/s"),
        (12, "frames/s", "12.0 frames/s"),
        (0, "frames/s", "0 frames/s"),
        (58.1e9, "b/s", "58.1 Gb/s"),
        (58.1, "Gb/s", "58.1 Gb/s"),
        (0.5, "Gb/s", "500 Mb/s"),
        (3.4e-6, "s", "3.40 µs"),
        (3.4, "us", "3.40 µs"),
        (1234, "µs", "1.23 ms"),
        (0.25, "ns", "0.25 ns"),
        (4.2, "s", "4.20 s"),
        (1500, "s", "1,500 s"),
        (5e-4, "s per guest", "500 µs per guest"),
        (12_345, "B per guest", "12.3 kB per guest"),
        (1_234, "frames", "1,234 frames"),
        (0.0123, "share", "1.23 %"),
        (7, "parsecs", "7.00 parsecs"),
    ],
)
def test_a_figure_has_three_digits_and_the_prefix_that_suits_it(value, unit, text):
    assert figure(value, unit) == text


def test_values_beside_each_other_have_one_unit():
    scale = scale_of((2e3, 3e6), "frames/s")
    assert (scale(2e3), scale.unit) == (0.002, "Mframes/s")


def test_a_scale_of_nothing_changes_nothing():
    assert scale_of((), "frames/s").unit == "frames/s"


@pytest.mark.parametrize(("share", "text"), [(0.3, "30 %"), (0.0123, "1.2 %"), (0, "0.0 %")])
def test_shares(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(("value", "text"), [(0.973, "0.97"), (1.5, "1.50"), (38.14, "38.1")])
def test_ratios(value, text):
    assert ratio(value) == text
