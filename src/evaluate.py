"""Stage evaluate: score both arms on test, at thresholds that come from valid, and tell which is better.

in:  data/posts, data/predictions, data/models (what a network costs, its training curves), data/timings
out: data/decisions (of each run: how scores become probabilities and tags, the dense arm's weight in the fusion);
     metrics/metrics.json (headline scores over all folds, and the difference of the arms), runs.csv (every score of
     each run, and over all of them), calibration.csv (Brier score and log loss), comparison.csv (differences of the
     arms with their intervals), verdict.txt (the first one in a sentence), fusion.csv (the fusion's gain over each arm,
     and over two runs of the better one), timings.json (seconds, which alone change from run to run, with
     plots/images/cost.png);
     plots/*.csv, which DVC draws or a reader opens, and plots/images/*.png, drawn with matplotlib
"""

import tagstudy.core.processor  # noqa: F401 - before numpy and torch
from tagstudy.core.checksums import check_made_from
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import atomic_folder
from tagstudy.core.paths import ARMS, DECISIONS, METRICS, MODELS, PLOTS, POSTS, PREDICTIONS, TIMINGS
from tagstudy.core.stage import run
from tagstudy.evaluation import comparison, report
from tagstudy.evaluation.scoring import COMPARED
from tagstudy.evaluation.systems import assess_systems
from tagstudy.evaluation.verdict import verdict
from tagstudy.predictions.predictions import Predictions


def main() -> str:
    params = read_params().evaluate
    corpus = Corpus(POSTS)
    for arm in ARMS:
        check_made_from(PREDICTIONS / arm, POSTS, MODELS / arm)
    arms = {arm: Predictions(PREDICTIONS / arm) for arm in ARMS}
    systems, weights = assess_systems(corpus, arms["dense"], arms["sparse"], params.threshold, params.calibrate)
    scores = comparison.score(corpus, systems, params.resamples)
    differences = comparison.compare(scores["dense"], scores["sparse"])
    differences = differences.rename(columns={"one": "dense", "other": "sparse"})
    differences.insert(0, "score", [*COMPARED, *corpus.tags])
    missing = differences["p"].isna()
    without_interval = int(missing[len(COMPARED) :].sum())
    if without_interval and not missing.all():  # of a single run nothing has one, and the verdict says so
        why = "too few posts have them, or the arms differ on too few"
        print(f"{without_interval} of {len(corpus.tags)} tags have no interval: {why}")
    finding = verdict(
        differences.iloc[0],
        {name: arm.problem for name, arm in arms.items()},
        {name: arm.remedy for name, arm in arms.items()},
        folds=corpus.folds,
        runs=min(len(arm.runs) for arm in arms.values()),
        posts=len(corpus.tested()),
        margin=params.margin,
    )
    results = report.Results(systems, scores, differences, finding)
    costs = report.cost_table(report.read_costs(MODELS, TIMINGS), systems)
    with (  # decisions, the last, is there first: metrics, which git has, say which decisions belong to them
        atomic_folder(METRICS, made_from=[DECISIONS]) as metrics,
        atomic_folder(PLOTS) as plots,
        atomic_folder(DECISIONS, made_from=[MODELS / arm for arm in ARMS]) as decisions,
    ):
        report.write_run_decisions(decisions, systems, weights)
        report.write_metrics(metrics, results, costs)
        report.write_plots(plots, results, costs, corpus, MODELS)
    return finding


if __name__ == "__main__":
    run(main)
