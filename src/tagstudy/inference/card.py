"""The model card of a shipped folder: what it predicts, how well, how it was trained, its licence."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from tagstudy.core.config import Params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import read_json
from tagstudy.core.paths import FUSION, METRICS
from tagstudy.core.printing import visible

SHOWN_TAGS = 30  # tags
SCORES = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "hamming_loss": "Hamming loss"}
NO_LICENCE = (
    "None was named. The code that trained these models has the MIT licence; the posts have their own; Stack "
    "Exchange's is CC BY-SA 4.0."
)


def model_card(corpus: Corpus, params: Params, epochs: Mapping[str, int], posts: int, licence: str | None) -> str:
    """Markdown. ``epochs`` are those of each arm, ``posts`` how many it was trained on."""
    system = FUSION if len(epochs) > 1 else next(iter(epochs))
    scores = read_json(METRICS / "metrics.json")[system]
    tags = ", ".join(f"`{tag}`" for tag in corpus.tags[:SHOWN_TAGS])
    more = f" and {len(corpus.tags) - SHOWN_TAGS} more" * (len(corpus.tags) > SHOWN_TAGS)
    studied = int(corpus.is_in("train", fold=0).sum())
    return visible_lines(f"""---
{yaml.safe_dump({"license": licence or "other"}, allow_unicode=True, width=10_000).strip()}
library_name: tagstudy
pipeline_tag: text-classification
---

# Tags for posts

Gives a post any of {len(corpus.tags)} tags: {tags}{more}.

## Scores

| {" | ".join(SCORES.values())} |
|{"---|" * len(SCORES)}
| {" | ".join(f"{scores[name]:.4f}" for name in SCORES)} |

Measured on test posts, with networks trained in the same way on {studied:,} posts each.
The models in this folder were trained on {posts:,} posts.

## Training

- Posts: {Path(params.ingest.source).name}, fingerprint {corpus.fingerprint}
{describe_arms(params, epochs)}
- Calibration and thresholds: from the valid posts of the study

## Use

```python
from tagstudy.inference import Predictor

print(Predictor("path/to/this/folder").tags(["How do I sort a list?"]))
```

## Licence

{licence or NO_LICENCE}
""")


def describe_arms(params: Params, epochs: Mapping[str, int]) -> str:
    """A line for each arm."""
    dense = params.featurize_dense
    with_encoder = f" ({dense.encoder})" if dense.embedding in ("static", "encoder", "finetuned") else ""
    features = {"dense": f"the embedding {dense.embedding}{with_encoder}", "sparse": "TF-IDF"}
    return "\n".join(f"- The {arm} arm: an MLP on {features[arm]}, {count} epochs" for arm, count in epochs.items())


def visible_lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
