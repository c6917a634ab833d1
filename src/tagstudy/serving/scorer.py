"""One thread that scores the posts of all requests: those that wait together are scored in one call."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import torch

from tagstudy.core.corpus import Text
from tagstudy.inference.predictor import BATCH, WORDS, Predictor

WAITING = 4096  # posts that wait at most
DIGITS = 6  # of a probability
Answer = dict[str, Any]  # about a post, as JSON


class Busy(Exception):
    """Too many posts wait."""


class Job(NamedTuple):
    """The posts of a request, and where its answers go."""

    texts: list[Text]
    explain: bool
    answers: Future[list[Answer]]


class Scorer:
    """Answers requests with the tags of the predictor's chosen system."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.waiting = predictor, 0
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        Thread(target=self.work, daemon=True).start()

    async def answers(self, texts: list[Text], explain: bool) -> list[Answer]:
        """One for each text. All calls come from one event loop. Raises :class:`Busy` where too many posts wait."""
        posts = len(texts) * (WORDS if explain else 1)  # without each word in turn
        if self.waiting + posts > WAITING:
            raise Busy
        self.waiting += posts
        try:
            job = Job(texts, explain, Future())
            self.jobs.put(job)
            return await asyncio.wrap_future(job.answers)
        finally:
            self.waiting -= posts

    def work(self) -> None:
        torch.set_num_threads(1)  # a few posts are scored sooner by one thread
        while True:
            jobs = self.next_jobs()
            plain = [job for job in jobs if not job.explain]
            for together, answer in [(plain, self.tags), *(([job], self.evidence) for job in jobs if job.explain)]:
                settle([job for job in together if job.answers.set_running_or_notify_cancel()], answer)

    def next_jobs(self) -> list[Job]:
        """All that wait, up to a batch; at least one."""
        jobs = [self.jobs.get()]
        while sum(len(job.texts) for job in jobs) < BATCH:
            try:
                jobs.append(self.jobs.get_nowait())
            except Empty:
                break
        return jobs

    def tags(self, texts: list[Text]) -> list[Answer]:
        """The predicted tags of each text."""
        system = self.predictor.system
        scores = self.predictor.scores(texts)[system]
        rows = self.predictor.predicted(scores, system, DIGITS)
        return [
            {"known_words": bool(known), "tags": [{"tag": tag, "probability": p} for tag, p in row]}
            for known, row in zip(scores.known, rows, strict=True)
        ]

    def evidence(self, texts: list[Text]) -> list[Answer]:
        """The best tags of each text, predicted or not, with the words that are evidence for them."""
        explained = map(self.predictor.explain, texts)
        return [{"known_words": known, "tags": tags[self.predictor.system]} for known, tags in explained]


def settle(jobs: list[Job], answer: Callable[[list[Text]], list[Answer]]) -> None:
    """Answer jobs as one batch; if that fails, one by one, so that the error goes to the job that caused it."""
    if not jobs:
        return
    try:
        answers = iter(answer([text for job in jobs for text in job.texts]))
        for job in jobs:
            job.answers.set_result([next(answers) for _ in job.texts])
    except Exception as problem:
        if len(jobs) > 1:
            for job in jobs:
                settle([job], answer)
        else:
            jobs[0].answers.set_exception(problem)
