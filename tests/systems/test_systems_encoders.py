"""Frozen encoders: the published vectors, whatever padding, and one line where a file is missing or wrong."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from encoder_toys import HYPERPARAMS, batch, check_rows_alone, chirp, ecapa_folder
from torch import Tensor, nn

from voxtrait.errors import MissingExtraError, RecipeError
from voxtrait.systems.encoders import Encoder, ecapa, load_encoder, wav2vec2
from voxtrait.systems.encoders.ge2e import ge2e_weights
from voxtrait.training.export import export_onnx

transformers = pytest.importorskip("transformers")
hub = pytest.importorskip("huggingface_hub")


class Named(nn.Module):
    """An encoder whose vector has the name of an output."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return {"embedding": self.encoder(features, lengths)}


def wav2vec2_folder(folder: Path, stable: bool = False) -> Path:
    """Write a small wav2vec 2.0 as transformers does: of the base kind, or of the large one's ("stable")."""
    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        conv_bias=stable,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        do_stable_layer_norm=stable,
        feat_extract_norm="layer" if stable else "group",
    )
    torch.manual_seed(1)
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each encoder that is loaded from one."""
    folder = tmp_path_factory.mktemp("encoders")
    return {"ecapa": ecapa_folder(folder / "ecapa"), "wav2vec2": wav2vec2_folder(folder / "wav2vec2")}


@torch.no_grad()
def test_ge2e_is_the_mean_of_the_parts_that_resemblyzer_cuts() -> None:
    encoder = load_encoder("ge2e")
    lstm, linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)
    nn.ModuleDict({"lstm": lstm, "linear": linear}).load_state_dict(ge2e_weights())
    for frames in (45, 160, 196, 197, 310):
        rows, _, _ = batch(40, (frames,))
        mel = rows[0][0]
        mel = mel * 0.4 / mel.sum(1).mean()
        # VoiceEncoder.compute_partial_slices of Resemblyzer at its rate of 1.3 parts a second.
        starts = list(range(0, max(1, frames - 160 + 77 + 1), 77))
        if len(starts) > 1 and (frames - starts[-1]) / 160 < 0.75:
            starts.pop()
        padded = nn.functional.pad(mel, (0, 0, 0, 160))
        parts = torch.stack([padded[start : start + 160] for start in starts])
        vectors = nn.functional.normalize(torch.relu(linear(lstm(parts)[1][0][-1])), dim=1)
        expected = nn.functional.normalize(vectors.mean(0), dim=0)
        assert torch.allclose(encoder(rows[0], torch.tensor([frames]))[0], expected, atol=1e-5)
    assert torch.allclose(check_rows_alone(encoder).norm(dim=1), torch.ones(4))


@torch.no_grad()
def test_ecapa_gives_the_vectors_of_speechbrain(published: dict[str, Path]) -> None:
    encoder = load_encoder("ecapa", str(published["ecapa"]))
    # speechbrain 1.1.2: Fbank, InputNormalization and ECAPA_TDNN with these weights on this recording.
    expected = [-2.4307587, 2.3971760, -1.9030730, 1.6495861, -0.9801699, 0.5906817, 0.1540973, -0.5693681]
    vector = encoder(chirp(50), torch.tensor([50]))[0]
    assert vector.tolist() == pytest.approx(expected, abs=1e-4)
    noise = torch.cat([chirp(50), torch.full((1, 30, 160), 7.0)], dim=1)
    assert encoder(noise, torch.tensor([50]))[0].tolist() == pytest.approx(expected, abs=1e-4)
    check_rows_alone(encoder, 0.1)


@pytest.mark.parametrize("stable", [False, True])
@torch.no_grad()
def test_wav2vec2_is_the_mean_state_of_each_row_alone(tmp_path: Path, stable: bool) -> None:
    folder = wav2vec2_folder(tmp_path, stable)
    model = transformers.Wav2Vec2Model.from_pretrained(folder)
    encoder = load_encoder("wav2vec2", str(folder))
    vectors = check_rows_alone(encoder)
    rows, _, _ = batch(160, (41, 130, 200, 305))
    for row, vector in zip(rows, vectors, strict=True):
        samples = row.reshape(1, -1)
        samples = (samples - samples.mean()) / (samples.var(correction=0) + 1e-7).sqrt()
        assert torch.allclose(model(samples).last_hidden_state.mean(1)[0], vector, atol=1e-4)


@torch.no_grad()
def test_wav2vec2_hears_samples_as_they_are_where_it_was_trained_so(tmp_path: Path) -> None:
    folder = wav2vec2_folder(tmp_path)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    rows, _, _ = batch(160, (60,))
    expected = transformers.Wav2Vec2Model.from_pretrained(folder)(rows[0].reshape(1, -1))
    vector = load_encoder("wav2vec2", str(folder))(rows[0], torch.tensor([60]))
    assert torch.allclose(expected.last_hidden_state.mean(1), vector, atol=1e-4)


@pytest.mark.parametrize("name", ["ge2e", "ecapa", "wav2vec2"])
def test_an_encoder_exports_for_any_length_and_learns_nothing(name: str, published: dict[str, Path]) -> None:
    encoder = load_encoder(name, str(published[name]) if name in published else None)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    # Raises if ONNX Runtime and torch differ at one of several batch sizes and lengths.
    session = onnxruntime.InferenceSession(export_onnx(Named(encoder), encoder.width))
    assert session.get_outputs()[0].shape == ["batch", encoder.size]


@pytest.mark.parametrize(("name", "width"), [("ge2e", 160), ("ecapa", 40), ("wav2vec2", 44)])
def test_other_features_are_refused_with_those_that_are_read(
    name: str, width: int, published: dict[str, Path]
) -> None:
    encoder = load_encoder(name, str(published[name]) if name in published else None)
    with pytest.raises(RecipeError, match=f"encoder {name} reads .*name: {encoder.reads.name}") as caught:
        encoder(torch.zeros(1, 50, width), torch.tensor([50]))
    assert caught.value.code == "recipe_field"


def test_a_tag_in_the_hyperparams_builds_nothing(tmp_path: Path, published: dict[str, Path]) -> None:
    folder = shutil.copytree(published["ecapa"], tmp_path / "ecapa")
    marker = tmp_path / "marker"
    evil = f"extra: !!python/object/apply:os.system ['touch {marker}']"
    apply = f"more: !apply:os.system ['touch {marker}']"
    (folder / "hyperparams.yaml").write_text(f"{evil}\n{apply}\n{HYPERPARAMS}")
    assert load_encoder("ecapa", str(folder)).size == 8
    assert not marker.exists()


class Evil:
    """Pickles to a call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("unpickled",)


def test_weights_that_are_a_program_are_refused(
    tmp_path: Path, published: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(published["ecapa"], tmp_path / "ecapa")
    torch.save({"fc.conv.weight": Evil()}, folder / "embedding_model.ckpt")
    with pytest.raises(RecipeError, match=r"embedding_model\.ckpt does not hold") as caught:
        load_encoder("ecapa", str(folder))
    assert caught.value.code == "encoder_corrupt"
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("ecapa", "hyperparams.yaml", b"n_mels: 80\n"),
        ("ecapa", "hyperparams.yaml", b"n_mels: [\n"),
        ("ecapa", "hyperparams.yaml", b"\xff\xfe\xff"),
        ("ecapa", "hyperparams.yaml", HYPERPARAMS.replace("16, 48]", "32, 48]").encode()),
        ("ecapa", "hyperparams.yaml", HYPERPARAMS.replace("16, 48]", "10, 48]").encode()),
        ("ecapa", "embedding_model.ckpt", b"not a checkpoint"),
        ("ecapa", "embedding_model.ckpt", b""),
        ("wav2vec2", "config.json", b"{}"),
        ("wav2vec2", "config.json", b"[1]"),
        ("wav2vec2", "config.json", b"nonsense"),
        ("wav2vec2", "model.safetensors", b"nonsense"),
    ],
)
def test_wrong_files_are_one_line(
    name: str, file: str, content: bytes, tmp_path: Path, published: dict[str, Path]
) -> None:
    folder = shutil.copytree(published[name], tmp_path / name)
    (folder / file).write_bytes(content)
    with pytest.raises(RecipeError, match=str(folder)) as caught:
        load_encoder(name, str(folder))
    assert caught.value.code == "encoder_corrupt"
    assert "\n" not in caught.value.message


def test_weights_of_another_model_are_not_drawn_at_random(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = wav2vec2_folder(tmp_path)
    save_file({"other": torch.zeros(3)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RecipeError, match="weights are missing"):
        load_encoder("wav2vec2", str(folder))


@pytest.mark.parametrize(
    ("name", "missing"), [("ecapa", "embedding_model.ckpt"), ("wav2vec2", "model.safetensors")]
)
def test_a_missing_file_is_named(name: str, missing: str, tmp_path: Path, published: dict[str, Path]) -> None:
    folder = shutil.copytree(published[name], tmp_path / name)
    (folder / missing).unlink()
    with pytest.raises(RecipeError, match=f"{folder} has no {missing}") as caught:
        load_encoder(name, str(folder))
    assert caught.value.code == "encoder_not_found"


def test_an_encoder_too_large_for_a_bundle_is_refused(
    published: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wav2vec2, "MODEL_LIMIT", 1000)
    with pytest.raises(RecipeError, match="model of a bundle may have 1000"):
        load_encoder("wav2vec2", str(published["wav2vec2"]))


def test_no_folder_and_no_hub_name() -> None:
    with pytest.raises(RecipeError, match=r"there is no folder '\./nowhere'") as caught:
        load_encoder("ecapa", "./nowhere")
    assert caught.value.code == "encoder_not_found"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's client without network; returns its cache."""
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_without_network_a_hub_name_is_one_line(offline: Path) -> None:
    for name, file in (("ecapa", "hyperparams.yaml"), ("wav2vec2", "config.json")):
        with pytest.raises(RecipeError, match=f"the Hugging Face hub gives no {file} of it") as caught:
            load_encoder(name)
        assert caught.value.code == "encoder_not_found"
        assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["ecapa", "wav2vec2"])
def test_what_was_fetched_once_needs_no_network(name: str, offline: Path, published: dict[str, Path]) -> None:
    repository = offline / "models--org--toy"
    commit = "c" * 40
    shutil.copytree(published[name], repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    from_hub = load_encoder(name, "org/toy").state_dict()
    here = load_encoder(name, str(published[name])).state_dict()
    assert all(torch.equal(from_hub[key], value) for key, value in here.items())


@pytest.mark.parametrize(
    ("name", "source", "package"),
    [
        ("ge2e", None, "resemblyzer"),
        ("wav2vec2", "org/toy", "transformers"),
        ("ecapa", "org/toy", "huggingface_hub"),
    ],
)
def test_a_missing_package_is_one_line(
    name: str, source: str | None, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=package):
        load_encoder(name, source)


def test_the_published_shape_is_speechbrains() -> None:
    encoder = ecapa.EcapaEncoder(ecapa.EcapaShape(channels=(1024, 1024, 1024, 1024, 3072)))
    # As many as in embedding_model.ckpt of speechbrain/spkrec-ecapa-voxceleb.
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 20_767_552
