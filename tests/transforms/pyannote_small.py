"""A WeSpeaker ResNet a hundredth of the real one's size, for tests that are not about time."""

from __future__ import annotations

from pyannote.audio.models.embedding.wespeaker import BaseWeSpeakerResNet
from pyannote.audio.models.embedding.wespeaker.resnet import BasicBlock, ResNet


class SmallResNet(BaseWeSpeakerResNet):
    """As WeSpeakerResNet34, with one narrow block where that has three to six wide ones."""

    def __init__(self, sample_rate: int = 16000, num_channels: int = 1, num_mel_bins: int = 80, **values) -> None:
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, num_mel_bins=num_mel_bins, **values)
        self.resnet = ResNet(BasicBlock, [1, 1, 1, 1], m_channels=4, feat_dim=80, embed_dim=64, two_emb_layer=False)
