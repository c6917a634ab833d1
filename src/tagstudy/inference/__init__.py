"""Tags for new posts, by the models of a finished study."""

from tagstudy.inference.predictor import Predictor

__all__ = ["Predictor"]
