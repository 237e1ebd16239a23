"""Black-box membership attacks: each scores records by the synthetic table and rows of the population alone."""

from .distance import density_ratio, isolated_neighbour, local_likelihood, nearest_distance
from .evidence import Attack, Evidence
from .histograms import pair_ratio, value_ratio
from .models import classifier_score, prediction_error

ATTACKS: dict[str, Attack] = {
    "nearest distance": nearest_distance,
    "isolated neighbour": isolated_neighbour,
    "density ratio": density_ratio,
    "local likelihood": local_likelihood,
    "prediction error": prediction_error,
    "value ratio": value_ratio,
    "pair ratio": pair_ratio,
    "classifier": classifier_score,
}

__all__ = ["ATTACKS", "Attack", "Evidence"]
