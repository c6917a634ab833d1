"""Tags for new posts, by the models of a study or of a shipped folder."""

from tagstudy.inference.predictor import Predictor

__all__ = ["Predictor"]
