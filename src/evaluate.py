"""Stage evaluate: score both arms on test, at thresholds that come from valid, and tell which is better.

in:  data/posts, data/predictions, data/models (what a network costs, its training curves), data/timings
out: metrics/metrics.json (headline scores, mean over runs, and the difference of the arms), runs.csv (every score of
     each run, and means), prediction.json (of each run, for predict.py: thresholds, the dense arm's weight in the
     fusion), comparison.csv (differences of the arms with their intervals), verdict.txt (the first one in a
     sentence), fusion.csv (the fusion's from each arm), timings.json (seconds, which alone change from run to run, with
     plots/images/cost.png);
     plots/*.csv, which DVC draws or a reader opens, and plots/images/*.png, drawn with matplotlib
"""

from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import whole_folder
from tagstudy.core.paths import ARMS, METRICS, MODELS, PLOTS, POSTS, PREDICTIONS, TIMINGS
from tagstudy.core.stage import run
from tagstudy.evaluation import comparison, report
from tagstudy.evaluation.systems import assess_systems
from tagstudy.predictions.predictions import Predictions


def main() -> str:
    params = read_params().evaluate
    corpus = Corpus(POSTS)
    labels = {split: corpus.labels.take(corpus.rows(split)) for split in ("valid", "test")}
    arms = {arm: Predictions(PREDICTIONS / arm) for arm in ARMS}
    runs, weights = assess_systems(labels, arms["dense"], arms["sparse"], params.threshold)
    decisions = {system: [run.decisions for run in runs[system]] for system in runs}
    scores = comparison.score(labels["test"], decisions, params.resamples)
    differences = comparison.compare(scores["dense"], scores["sparse"])
    differences.insert(0, "score", [*comparison.METRICS, *corpus.tags])
    verdict = comparison.verdict(differences.iloc[0], len(runs["dense"]), len(runs["sparse"]))
    results = report.Results(runs, scores, weights, differences, verdict)
    costs = report.cost_table(report.read_costs(MODELS, TIMINGS), runs)
    with whole_folder(METRICS) as metrics, whole_folder(PLOTS) as plots:
        report.write_metrics(metrics, results, costs)
        report.write_plots(plots, results, costs, corpus, MODELS)
    return verdict


if __name__ == "__main__":
    run(main)
