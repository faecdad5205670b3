"""Streams side by side: no shared weights, a missing band is nothing, MSN is its streams trained apart."""

from __future__ import annotations

import copy

import pytest
import torch

from crossband.errors import CrossbandError
from crossband.losses import StreamsLoss, supervised_contrastive_loss
from crossband.models import create_streams, find_model, list_streams
from crossband.models.streams import Streams, StreamsOutput
from crossband.nn.batchnorm import add_batchnorm

BANDS = ("rgb", "nir", "tir")


def small(bands=BANDS, stream="ide", encoder="squeezenet1_1", classes=4, **options) -> Streams:
    torch.manual_seed(0)
    layer = "features.4" if encoder == "squeezenet1_1" else None
    network, _ = create_streams(
        bands, classes, stream, encoder, layer=layer, size=(48, 32), pretrained=False, options=options
    )
    return network


def images(n: int = 4, m: int = 3) -> torch.Tensor:
    return torch.randn(n, m, 3, 48, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
def test_every_kind_of_stream_has_features_scores_and_gradients():
    wanted = {
        "ide": "squeezenet1_1",
        "cosine": "squeezenet1_1",
        "pcb": "resnet18",
        "mgn": "resnet18",
        "abd": "resnet18",
    }
    assert [entry.name for entry in list_streams()] == sorted(wanted)
    for stream, encoder in wanted.items():
        options = {"width": 16} if stream in ("pcb", "mgn", "abd") else {}
        network = small(BANDS[:2], stream, encoder, **options).train()
        output = network(images(m=2))
        assert output.features.shape == (4, 2, network.dim)
        assert output.scores.shape[:2] == (4, 2)
        assert output.scores.shape[3] == 4
        triplet = 1.0 if output.embeddings is not None else 0.0
        StreamsLoss(triplet=triplet)(output, torch.tensor([0, 0, 1, 1])).backward()
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, f"{stream}: {name}"


def test_scores_are_the_means_of_the_class_activation_maps():
    output = small()(images())
    assert torch.allclose(output.scores[:, :, 0], output.maps.mean((-2, -1)), atol=1e-6)


@pytest.mark.parametrize("gone", [(0, 0), (3, 2)])
def test_a_missing_band_changes_nothing_else(gone):
    network, frames = small(), images()
    present = torch.ones(4, 3, dtype=torch.bool)
    present[gone] = False
    whole, part = network(frames), network(frames, present)
    others = present.clone()
    assert torch.allclose(part.features[others], whole.features[others], atol=1e-5)
    assert (part.features[gone] == 0).all()
    assert (part.maps[gone] == 0).all()


def test_a_band_that_a_whole_batch_lacks_is_passed_over():
    present = torch.ones(4, 3, dtype=torch.bool)
    present[:, 1] = False
    network = small().train()
    output = network(images(), present)
    assert (output.scores[:, 1] == 0).all()
    loss = StreamsLoss(0.1, 1.0)(output, torch.tensor([0, 1, 2, 3]))
    loss.backward()
    assert torch.isfinite(loss)
    idle = [p for p in network.streams["nir"].parameters() if p.requires_grad]
    assert all((p.grad == 0).all() for p in idle)  # there for others to be added to, and nothing


def test_msn_is_its_streams_trained_apart():
    """Equation (4) couples nothing: after some steps a stream of MSN is what it would be on its own."""
    together = small()
    alone = small(("nir",))
    alone.streams["nir"].load_state_dict(together.streams["nir"].state_dict())
    labels = torch.tensor([0, 1, 2, 3])
    for network, columns in ((together, [0, 1, 2]), (alone, [1])):
        network.train()
        optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            StreamsLoss()(network(images()[:, columns]), labels).backward()
            optimizer.step()
    mine, own = together.streams["nir"].state_dict(), alone.streams["nir"].state_dict()
    assert all(torch.allclose(mine[name], own[name], atol=1e-6) for name in own)


def test_hamnet_couples_its_streams():
    network = small().train()
    output = network(images())
    StreamsLoss(class_aware=1.0)(output, torch.tensor([0, 1, 2, 3])).backward()
    whole = network.streams["nir"].classes.weight.grad.clone()
    network.zero_grad()
    StreamsLoss()(network(images()), torch.tensor([0, 1, 2, 3])).backward()
    assert not torch.allclose(whole, network.streams["nir"].classes.weight.grad)


def test_frozen_batchnorm_stays_in_evaluation():
    network, _ = create_streams(
        ["rgb"], 3, encoder="resnet18", size=(48, 32), pretrained=False, freeze_batchnorm=True
    )
    network.train()
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(module.training for module in norms)


@pytest.mark.parametrize("stream", ["pcb", "mgn", "abd"])
def test_networks_that_branch_inside_a_resnet_say_so(stream):
    with pytest.raises(CrossbandError, match=r"resnet50"):
        small(("rgb",), stream)


def test_layers_before_the_first_that_is_trained_stay_as_they_are():
    network, _ = create_streams(
        ["rgb"], 3, encoder="squeezenet1_1", size=(48, 32), pretrained=False, train_from="features.6"
    )
    learns = {n for n, p in network.streams["rgb"].encoder.body.named_parameters() if p.requires_grad}
    assert learns == {
        n for n, _ in network.streams["rgb"].encoder.body.named_parameters() if int(n.split(".")[1]) >= 6
    }
    with pytest.raises(CrossbandError, match="features"):
        create_streams(
            ["rgb"],
            3,
            encoder="squeezenet1_1",
            layer="features.4",
            size=(48, 32),
            pretrained=False,
            train_from="features.6",
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "size", "channels"),
    [
        ("resnet50", (128, 256), 2048),
        ("timm/seresnet50", (224, 224), 2048),
        ("densenet121", (128, 256), 1024),
        ("timm/inception_resnet_v2", (299, 299), 1536),
        ("mobilenet_v2", (128, 256), 1280),
    ],
)
def test_the_five_backbones_of_table_2_read_the_papers_input_sizes(encoder, size, channels):
    with torch.device("meta"), torch.inference_mode():
        built = find_model(encoder).build().eval()
        assert built(torch.zeros(1, 3, *size)).shape[1] == channels


def shared(bands=BANDS) -> Streams:
    torch.manual_seed(0)
    network, _ = create_streams(
        bands,
        4,
        "cosine",
        "squeezenet1_1",
        layer="features.4",
        size=(48, 32),
        pretrained=False,
        shared=True,
    )
    return network


def test_one_network_for_all_bands_starts_by_saying_the_same_of_the_same_image():
    image = torch.randn(2, 1, 3, 48, 32).expand(-1, 3, -1, -1, -1)
    features = shared()(image).features
    assert torch.allclose(features[:, 0], features[:, 2], atol=1e-5)


def test_one_network_for_all_bands_keeps_its_weights_once():
    one, three = (sum(p.numel() for p in shared(bands).parameters()) for bands in (BANDS[:1], BANDS))
    assert three - one < 0.01 * one


def test_a_missing_band_changes_nothing_else_of_a_shared_network():
    network, frames = shared(), images()
    present = torch.ones(4, 3, dtype=torch.bool)
    present[0, 1] = present[3] = False
    whole, part = network(frames), network(frames, present)
    assert torch.allclose(part.features[present], whole.features[present], atol=1e-5)
    assert (part.features[~present] == 0).all()


def test_the_contrastive_loss_is_over_images_of_all_bands_and_over_sums_of_bands():
    features, labels = shared()(images()).features.detach(), torch.tensor([0, 0, 1, 1])
    present = torch.ones(4, 3, dtype=torch.bool)
    present[3, 2] = False
    output = StreamsOutput(present, features, torch.zeros(4, 3, 1, 4), None, None, torch.zeros(()))
    found = StreamsLoss(contrast=1.0)(output, labels) - StreamsLoss()(output, labels)
    apart = supervised_contrastive_loss(features[present], labels[:, None].expand(4, 3)[present])
    rows = {(0, 1): [0, 1, 2, 3], (0, 2): [0, 1, 2], (1, 2): [0, 1, 2], (0, 1, 2): [0, 1, 2]}
    sums = [
        supervised_contrastive_loss(features[kept][:, list(bands)].sum(1), labels[kept])
        for bands, kept in rows.items()
    ]
    assert torch.allclose(found, apart + torch.stack(sums).mean(), atol=1e-5)


def test_a_batchnorm_that_is_added_changes_nothing_before_training_or_at_its_first_batch():
    torch.manual_seed(0)
    plain = find_model("squeezenet1_1").build().eval()
    normed = copy.deepcopy(plain)
    add_batchnorm(normed)
    frames = images()[:, 0]
    with torch.no_grad():
        assert torch.allclose(normed(frames, "features.4"), plain(frames, "features.4"), rtol=1e-3, atol=1e-5)
        assert torch.allclose(
            normed.train()(frames, "features.4"), plain(frames, "features.4"), rtol=1e-2, atol=1e-5
        )
    again = copy.deepcopy(normed)
    normed(frames * 2, "features.4")
    for name, value in again.named_parameters():
        assert torch.equal(value, dict(normed.named_parameters())[name]), name
