"""What an encoder wants to read before each text."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tagstudy.core.config import EncoderSettings
from tagstudy.core.errors import UserError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Encoders that were trained with prompts and often register none, by a part of their names.
KNOWN = {
    "e5": '"query: "',
    "nomic": '"classification: "',
    "bge": '"Represent this sentence for searching relevant passages: " (posts that are questions; others need none)',
    "instructor": '"Represent the question for classification: "',
}
NO_PROMPT = {"m3", "instruct"}  # parts of names of models that want none, or an instruction of one's own


def choose_prompt(model: "SentenceTransformer", settings: EncoderSettings) -> str:
    """The text of the prompt in force, "" for none: the one that is set, or the model's default.

    A single word is the name of a prompt. Raises :class:`UserError` where the model registers none of this name.
    """
    prompts = registered(model)
    if settings.prompt is None:
        return prompts.get(model.default_prompt_name or "", "")
    if settings.prompt in prompts:
        return prompts[settings.prompt]
    if re.fullmatch(r"[\w-]+", settings.prompt):
        has = f"it has {', '.join(sorted(prompts))}" if prompts else "it has none"
        raise UserError(
            f"featurize_dense.prompt: {settings.encoder} has no prompt named {settings.prompt} ({has}); to use it as "
            f'literal text, write it as it precedes each post, such as "{settings.prompt}: "'
        )
    return settings.prompt


def shown(prompt: str) -> str:
    return f"prompt {prompt!r}" if prompt else "no prompt"


def registered(model: "SentenceTransformer") -> dict[str, str]:
    """The prompts of the model, by name; sentence-transformers adds empty ones."""
    return {name: text for name, text in model.prompts.items() if text}


def prompt_hint(model: "SentenceTransformer", settings: EncoderSettings) -> str | None:
    """A line for the user of an encoder that wants a prompt, where none is set and the model has no default."""
    if settings.prompt is not None or model.default_prompt_name:
        return None
    names = registered(model)
    parts = re.split("[^a-z0-9]+", Path(settings.encoder).name.lower())
    known = [KNOWN[part] for part in parts if part in KNOWN and not NO_PROMPT & set(parts)]
    if not names and not known:
        return None
    choice = f"one of its prompts ({', '.join(sorted(names))})" if names else f"one, such as {known[0]}"
    return (
        f"{settings.encoder}: such encoders expect a prompt before each text, and none is set; "
        f'set featurize_dense.prompt to {choice}, or to "" for none, which also hides this hint'
    )
