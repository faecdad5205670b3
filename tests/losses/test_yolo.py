import pytest
import torch

from crossband.losses.yolo import assign_boxes, yolo_loss
from crossband.models.yolo_semantic import YoloSemantic

PRIORS = [[[8.0, 8.0]], [[24.0, 24.0]], [[60.0, 60.0]]]
SIZES = [(12, 12), (6, 6), (3, 3)]


@pytest.mark.parametrize(("side", "scale"), [(7, 0), (20, 1), (55, 2)])
def test_an_object_belongs_to_the_scale_of_its_size_and_the_cell_of_its_center(side, scale):
    box = torch.tensor([[1, 0, 40.0 - side / 2, 70.0 - side / 2, 40.0 + side / 2, 70.0 + side / 2]])
    found = assign_boxes(box, torch.tensor(PRIORS), SIZES)
    stride = (8, 16, 32)[scale]
    assert [len(part) for part in found] == [int(i == scale) for i in range(3)]
    assert found[scale].tolist() == [[1, 0, 70 // stride, 40 // stride, 0]]


def test_other_priors_that_fit_answer_too():
    box = torch.tensor([[0, 0, 0.0, 0.0, 14.0, 14.0]])
    found = assign_boxes(box, torch.tensor(PRIORS), SIZES, fits=2.0)
    assert [len(part) for part in found] == [1, 1, 0]


def test_no_object_is_no_error():
    network = YoloSemantic(2, 0, PRIORS, width=2, repeats=(1,) * 5)
    loss = yolo_loss(network, network(torch.zeros(1, 1, 96, 96)), torch.zeros(0, 6))
    assert torch.isfinite(loss)


def test_what_is_found_in_a_crowd_is_not_wrong_and_beside_it_is():
    network = YoloSemantic(2, 0, PRIORS, width=2, repeats=(1,) * 5)
    outputs = [torch.full((1, 1, 7, rows, columns), -9.0) for rows, columns in SIZES]
    target, crowd = (
        torch.tensor([[0, 0, 60.0, 60.0, 68.0, 68.0]]),
        torch.tensor([[0, 0, 16.0, 32.0, 23.0, 39.0]]),
    )
    before = yolo_loss(network, outputs, target, crowds=crowd)
    outputs[0][0, 0, 4, 4, 2] = 9.0  # the cell from (16, 32)
    torch.testing.assert_close(yolo_loss(network, outputs, target, crowds=crowd), before)
    assert yolo_loss(network, outputs, target) > before + 5
    outputs[0][0, 0, 4, 4, 3] = 9.0
    assert yolo_loss(network, outputs, target, crowds=crowd) > before + 5


@pytest.mark.slow
def test_one_picture_is_learned_by_heart():
    torch.manual_seed(0)
    network = YoloSemantic(2, 0, PRIORS, width=4, repeats=(1,) * 5)
    image = torch.zeros(1, 1, 96, 96)
    image[..., 20:28, 40:48], image[..., 60:84, 10:34] = 2.0, -2.0
    truth = torch.tensor([[0, 0, 40.0, 20.0, 48.0, 28.0], [0, 1, 10.0, 60.0, 34.0, 84.0]])
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(250):
        optimizer.zero_grad()
        yolo_loss(network, network(image), truth).backward()
        optimizer.step()
    found = network.detect(image, 0.1)[0]  # in training mode: batch normalization by the picture itself
    best = {int(row[5]): row[:4] for row in reversed(found)}
    for row in truth:
        torch.testing.assert_close(best[int(row[1])], row[2:], atol=3.0, rtol=0)
