"""What Prefect's page shows of a run: progress, table of blocks, result, pictures, failure.

The artifacts copy what is on disk and nothing reads them, so a failure costs one warning.
"""

from __future__ import annotations

import base64
import logging
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from prefect.artifacts import Artifact, ImageArtifact, MarkdownArtifact, ProgressArtifact, TableArtifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Failed as FailedState

from jko.certify.records import Measured
from jko.config import Config
from jko.core.digest import digest_of
from jko.core.display import figure, pair_of
from jko.core.errors import NumericalError, was_interrupted
from jko.core.step_sizes import shown
from jko.disk.layout import Layout
from jko.training.listener import Advanced, BlockResumed, Event
from tasks.adapters.system.environment import first_line
from tasks.listening import BlockDone, ChainBegun, Failed, Finished, Result
from tasks.progress import share_done

#: how often the progress is sent at most
SECONDS_BETWEEN = 5.0
#: how often the table of blocks is sent at most while blocks are trained; the last one is sent in any case
SECONDS_BETWEEN_BLOCKS = 2.0
#: a server that does not answer costs this much, once
TIMEOUT_SECONDS = 10.0
#: name of an artifact -> files of the report, of which the first that there is shows it
PICTURES = {
    "samples": ("samples.png", "pair_plot.png", "column_1.png"), "progress-picture": ("progress.png",),
    "guarantee": ("guarantee.png",),
}  # fmt: skip
log = logging.getLogger("jko.prefect")


@dataclass(frozen=True)
class Place:
    """Where a run is: before block 1, in a block and an iteration of its training, or after the last.

    Args:
        block: index k; 0 before the first, and more than ``count`` after the last.
        iteration: of its training.
        count: number of blocks.
    """

    block: int
    iteration: int
    count: int

    def __str__(self) -> str:
        if not 1 <= self.block <= self.count:
            return "after the last block" if self.block else "before the first block"
        return f"block {self.block}" + (f", iteration {self.iteration}" if self.iteration else "")


class Shown:
    """The artifacts of the current flow run; a listener.

    Every key begins with :func:`key_of` the chain, so that Prefect keeps one history a chain.

    Args:
        config: the settings.
        layout: the chain.
    """

    def __init__(self, config: Config, layout: Layout) -> None:
        self.config, self.layout, self.key = config, layout, key_of(layout)
        self.count = len(config.step_sizes)
        self._at(0)
        self.working = True
        self.sent_at = -SECONDS_BETWEEN
        #: blocks in the table as it was last sent, and when that was
        self.told, self.told_at = 0, -SECONDS_BETWEEN
        self.rows: list[dict[str, str]] = []
        self.known: dict[str, UUID] = {}

    def tell(self, event: Event) -> None:
        """Show an event."""
        match event:
            case ChainBegun():
                self._at(1)
            case Advanced(k, iteration) | BlockResumed(k, iteration):
                self._advanced(k, iteration)
            case BlockDone(_, k, figures):
                self._block_done(k, figures)
            case Finished(result, whole=True):
                self._finished(result)
            case Failed(error) if isinstance(error, Exception) and not was_interrupted(error):
                self._failed(error)

    def _advanced(self, k: int, iteration: int) -> None:
        """Show the share of the training that is done, every few seconds."""
        self._at(k, iteration)
        if time.monotonic() - self.sent_at >= SECONDS_BETWEEN:
            self._progress(share_done(self.config, k, iteration), f"training {self.place}")

    def _block_done(self, k: int, figures: Measured) -> None:
        """Show the figures of a block that is committed."""
        self._at(k + 1)
        self.rows.append(row_of(k, figures))
        settings = self.config.training_of(k)
        iterations = settings.flow_matching_iterations + settings.iterations
        if time.monotonic() - self.told_at >= SECONDS_BETWEEN_BLOCKS or k == self.count:
            self._progress(share_done(self.config, k, iterations), f"block {k} is committed")
            self._blocks()

    def _finished(self, result: Result) -> None:
        """Show the headline figures, the pictures, and where everything is."""
        self._blocks()
        self._progress(1.0, "finished")
        page = self.layout.report / "report.html"
        if not result.metrics:
            return
        text = result_text(self.layout, result.metrics, result.run_id, result.warning)
        self._show("result", MarkdownArtifact(markdown=text, description=f"report: {page}"))
        for name, files in PICTURES.items():
            path = next((own for file in files if (own := self.layout.report / file).is_file()), None)
            if path is not None:
                image = base64.b64encode(path.read_bytes()).decode()
                picture = ImageArtifact(image_url=f"data:image/png;base64,{image}", description=str(path))
                self._show(name, picture)

    def _failed(self, error: Exception) -> None:
        """Show where it failed, why, and the command that goes on."""
        if isinstance(error, NumericalError):  # it knows better
            self._at(error.block, error.step or 0)
        self._blocks()
        place, goes_on = self.place, self._goes_on()
        text = (
            f"# Failed: {place}\n\n| | |\n|---|---|\n| where | {place} |\n"
            f"| cause | {type(error).__name__} |\n"
            f"| chain | `{self.layout.chain}` |\n\n{_cause(error)}\n\n```sh\n# {goes_on}\n"
            + (f"{self._command}\n```\n" if self.layout.manifest.exists() else "```\n")
        )
        self._show("failure", MarkdownArtifact(markdown=text, description=f"{place}: {goes_on}"))

    def state_after(self, error: Exception) -> State[Exception]:
        """The state for a flow run that failed, of which this was told; its result is the error itself."""
        message = f"{self.place}: {type(error).__name__}: {_cause(error)} | {self._goes_on()}"
        failed: State[Exception] = FailedState(message=message, data=error)
        return failed

    def _goes_on(self) -> str:
        return f"to continue: {self._command}" if self.layout.manifest.exists() else "nothing was trained yet"

    @property
    def _command(self) -> str:
        return f"jko resume {shlex.quote(str(self.layout.chain))}"

    def _blocks(self) -> None:
        """Show the blocks that came since they were last shown."""
        if len(self.rows) > self.told:
            self.told, self.told_at = len(self.rows), time.monotonic()
            self._show("blocks", TableArtifact(table=self.rows, description=str(self.layout.chain)))

    def _at(self, block: int, iteration: int = 0) -> None:
        self.place = Place(block, iteration, self.count)

    def _progress(self, share: float, said: str) -> None:
        self.sent_at = time.monotonic()
        self._show("progress", ProgressArtifact(progress=round(100 * share, 1), description=said))

    def _show(self, name: str, artifact: Artifact) -> None:
        """Create an artifact of this run, or renew the one it has under that name."""
        context = FlowRunContext.get()
        if not self.working or context is None or context.flow_run is None:
            return
        artifact.key, artifact.flow_run_id = f"{self.key}-{name}", context.flow_run.id
        try:
            with get_client(httpx_settings={"timeout": TIMEOUT_SECONDS}, sync_client=True) as client:
                artifact.data = artifact.format(_sync=True)  # type: ignore[call-arg]
                if name in self.known:
                    update = ArtifactUpdate(data=artifact.data, description=artifact.description)
                    client.update_artifact(self.known[name], update)
                else:
                    fields = {"type", "key", "description", "data", "flow_run_id"}
                    created = client.create_artifact(Artifact(**artifact.model_dump(include=fields)))
                    self.known[name] = created.id
        except Exception as error:  # what Prefect shows must never stop a run
            self.working = False
            log.warning(
                "Prefect's page is not kept up to date any more, the run goes on: %s", first_line(error)
            )


def _cause(error: Exception) -> str:
    return str(error).strip() or type(error).__name__


def key_of(layout: Layout) -> str:
    """Lowercase letters, digits and dashes: the folder's name, and a few digits of its path's digest."""
    slug = re.sub(r"[^a-z0-9]+", "-", layout.chain.name.lower()).strip("-")
    return f"{slug or 'chain'}-{digest_of(str(layout.chain.resolve()))[:6]}"


def row_of(k: int, figures: Measured) -> dict[str, str]:
    """The headline figures of a block."""
    return {
        "block": str(k),
        "γ": shown(figures.step_size),
        "KL drop, nats": figure(figures.kl_drop, ".3f"),
        "NLL, nats": pair_of(figures, "nll"),
        "movement": figure(figures.movement, ".3f"),
        "round trip": figure(figures.inversion_error, ".1e"),
        "ε": figure(figures.best_epsilon),
        "KL ≤, nats": figures.bound_text,
    }


def result_text(layout: Layout, metrics: Mapping[str, float], run_id: str | None, warning: str = "") -> str:
    """The headline figures on test rows, what to mistrust in them, and where everything is, as Markdown."""
    rows = "\n".join(f"| `{name}` | {figure(value, '.6g')} |" for name, value in metrics.items())
    page, chain = (layout.report / "report.html").resolve(), shlex.quote(str(layout.chain))
    tracked = f"- MLflow run: `{run_id}`\n" if run_id else ""
    return (
        f"# {layout.chain.name}\n\n| figure (log-densities in nats, on test rows) | value |\n|---|---|\n"
        f"{rows}\n\n{warning and f'**{warning}**'}\n\n"
        f"- report: [{page}]({page.as_uri()})\n- chain: `{layout.chain}`\n{tracked}\n"
        f"```sh\njko status {chain}\njko sample {chain} -n 1000 -o samples.csv\n```\n"
    )
