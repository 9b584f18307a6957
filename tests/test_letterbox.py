import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge._ext.letterbox import Normalisation, crop, letterbox
from tests import reference

sizes = st.integers(1, 40)


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(deadline=None, max_examples=60)
@given(width=sizes, height=sizes, plane_width=sizes, plane_height=sizes, seed=st.integers(0, 99))
def test_letterbox_equals_its_slow_twin_and_pads_the_rest(
    width: int, height: int, plane_width: int, plane_height: int, seed: int
) -> None:
    image = picture(width, height, seed)
    tensor = np.full((3, plane_height, plane_width), np.nan, np.float32)
    sx, sy = letterbox(image, tensor, Normalisation(), 114.0)
    out_width, out_height = round(sx * width), round(sy * height)
    np.testing.assert_array_equal(
        tensor[:, :out_height, :out_width], reference.resize(image, out_width, out_height).transpose(2, 0, 1)
    )
    assert (tensor[:, out_height:] == 114).all()
    assert (tensor[:, :, out_width:] == 114).all()
    assert out_width == plane_width or out_height == plane_height


def test_a_picture_of_the_input_size_is_copied_exactly() -> None:
    image = picture(64, 32)
    tensor = np.empty((3, 32, 64), np.float32)
    assert letterbox(image, tensor, Normalisation()) == (1.0, 1.0)
    np.testing.assert_array_equal(tensor, image.transpose(2, 0, 1))


def test_a_view_into_a_larger_picture_gives_the_same_as_its_copy() -> None:
    image = picture(64, 48)
    view = image[8:40, 5:50]
    of_view, of_copy = np.empty((2, 3, 32, 32), np.float32)
    letterbox(view, of_view, Normalisation())
    letterbox(view.copy(), of_copy, Normalisation())
    np.testing.assert_array_equal(of_view, of_copy)


@settings(deadline=None, max_examples=60)
@given(
    corners=st.lists(st.floats(-20, 60), min_size=4, max_size=4),
    seed=st.integers(0, 99),
)
def test_a_crop_is_cut_at_the_edge_stretched_and_normalised(corners: list[float], seed: int) -> None:
    image = picture(40, 30, seed)
    tensor = np.full((1, 3, 8, 4), np.nan, np.float32)
    mean, std = (10.0, 20.0, 30.0), (2.0, 4.0, 5.0)
    crop(image, np.array([corners], np.float32), tensor, Normalisation(mean, std, "rgb"))
    x1, y1, x2, y2 = np.clip(np.floor(np.float32(corners) + np.float32(0.5)), 0, [40, 30, 40, 30]).astype(int)
    if x2 > x1 and y2 > y1:
        expected = (reference.resize(image[y1:y2, x1:x2], 4, 8)[..., ::-1] - mean) / std
        np.testing.assert_allclose(tensor[0], expected.transpose(2, 0, 1), rtol=1e-5, atol=1e-4)
    else:
        assert (tensor == 0).all()


def test_wrong_pictures_tensors_and_boxes_are_refused() -> None:
    tensor = np.empty((3, 8, 8), np.float32)
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        letterbox(np.empty((8, 8, 4), np.uint8), tensor, Normalisation())
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        letterbox(np.empty((0, 8, 3), np.uint8), tensor, Normalisation())
    with pytest.raises(ValueError, match="side by side"):
        letterbox(picture(8, 8)[:, ::2], tensor, Normalisation())
    with pytest.raises(ValueError, match=r"\(3, h, w\)"):
        letterbox(picture(8, 8), np.empty((1, 8, 8), np.float32), Normalisation())
    with pytest.raises(ValueError, match="not finite"):
        crop(picture(8, 8), np.array([[0, 0, np.nan, 1]], np.float32), tensor[None], Normalisation())
    with pytest.raises(ValueError, match="tensor"):
        crop(picture(8, 8), np.zeros((2, 4), np.float32), tensor[None], Normalisation())
    with pytest.raises(ValueError, match="colour"):
        Normalisation(colour="hsv")
    with pytest.raises(ValueError, match="positive"):
        Normalisation(std=(1.0, 0.0, 1.0))


def test_padding_is_a_grey_level_and_normalised_like_the_picture() -> None:
    tensor = np.empty((3, 8, 8), np.float32)
    letterbox(picture(8, 4), tensor, Normalisation((10, 20, 30), (2, 4, 5), "rgb"), 100.0)
    np.testing.assert_allclose(tensor[:, 4:].mean(axis=(1, 2)), [45, 20, 14])


@settings(deadline=None, max_examples=40)
@given(width=sizes, height=sizes, plane_width=sizes, plane_height=sizes, seed=st.integers(0, 99))
def test_a_stretched_picture_fills_the_planes(
    width: int, height: int, plane_width: int, plane_height: int, seed: int
) -> None:
    image = picture(width, height, seed)
    tensor = np.full((3, plane_height, plane_width), np.nan, np.float32)
    scale = letterbox(image, tensor, Normalisation(), stretch=True)
    assert scale == (plane_width / width, plane_height / height)
    np.testing.assert_array_equal(tensor, reference.resize(image, plane_width, plane_height).transpose(2, 0, 1))


def test_wide_pictures_give_the_same_as_the_slow_twin_where_eight_pixels_go_at_a_time() -> None:
    image = picture(301, 7, 3)
    for plane_width in (64, 100, 301, 333):
        tensor = np.empty((3, 9, plane_width), np.float32)
        letterbox(image, tensor, Normalisation(), stretch=True)
        np.testing.assert_array_equal(tensor, reference.resize(image, plane_width, 9).transpose(2, 0, 1))
