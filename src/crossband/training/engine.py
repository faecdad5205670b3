"""The loop, on Lightning: precision, processes, accumulation, resuming, selection and logs for every task.

**Exact resuming.** What is random is a function of the seed and of where the run stands: the samples of an
epoch (kept in the state), the augmentation of a sample, the dropout of a step. So a run that was killed and
started again goes through the same numbers as one left alone. A Lightning epoch is what is left of one of ours,
and the state is our own: tensors, numbers and text. It counts samples, so a run may go on with another number
of processes; its losses are then the same, but for what is of a batch: dropout, batch statistics, and means
over more than samples (pixels, boxes), of which each process has its own.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..checkpoints import read_state, write_checkpoint, write_state
from ..devices import choose_device
from ..errors import CrossbandError
from ..progress import Progress, note
from .average import Average
from .distributed import launched
from .logs import RunLog
from .recipe import Optimizer, Recipe
from .speed import Setting, can_start_processes, quicker_as_two, quickest
from .start import begin_with
from .task import Batch, Task

__all__ = ["BEST", "STATE", "Learner", "fit"]

BEST, STATE = "best.safetensors", "state.pt"
_LOGGERS = ("lightning.pytorch", "lightning.fabric")


def fit(task: Task, out: Path) -> None:
    """Train a task to the end of its recipe, from where ``out`` stands.

    See :class:`Learner` for the files.

    Raises:
        CrossbandError: the folder holds a run of a different recipe, or the loss is not a number.
    """
    state = read_state(out / STATE)
    if state is not None and not _same_recipe(task.recipe, state["recipe"]):
        raise CrossbandError(
            f"{out} holds a run of another recipe; choose another folder, or remove it", parameter="out"
        )
    if state is not None and state["finished"]:
        return
    settings = task.recipe.trainer
    torchrun = launched()
    started = 1 if torchrun is None else torchrun[1] * torchrun[2]
    if settings.batch_size % started:
        raise CrossbandError(
            f"trainer.batch_size {settings.batch_size} must be divisible by the {started} processes"
        )
    torch.manual_seed(task.recipe.seed)
    if state is None:
        task.prepare()
        if task.recipe.start:
            begin_with(task.network, task.recipe.start)
    setting = _setting(task, state)
    task.precision = setting.precision
    here, machines = torchrun[1:] if torchrun is not None else (_here(task, setting), 1)
    learner = Learner(task, out, state, setting)
    with _quiet():
        trainer = lightning.Trainer(
            accelerator="gpu" if _on_gpu(task) else "cpu",
            devices=here,
            num_nodes=machines,
            strategy=_strategy(task, here * machines),
            precision=setting.precision,  # type: ignore[arg-type]
            max_epochs=settings.epochs - learner.epoch,
            accumulate_grad_batches=settings.accumulate,
            gradient_clip_val=task.recipe.optimizer.clip or None,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=out,
        )
        try:
            trainer.fit(learner)
        except CrossbandError:
            raise
        except (torch.multiprocessing.ProcessRaisedException, RuntimeError) as error:
            raise _own_error(error) from error


class Learner(lightning.LightningModule):
    """One run of a task in a folder.

    ``metrics.csv`` and ``tensorboard/`` hold the figures, ``best.safetensors`` the best network on val,
    ``state.pt`` what a killed run goes on from.

    Args:
        task: what is trained.
        out: the folder.
        state: where the run stands, ``None`` at its start.
        setting: how the network computes.
    """

    def __init__(self, task: Task, out: Path, state: dict[str, Any] | None, setting: Setting) -> None:
        super().__init__()
        self.task, self.out, self.setting = task, out, setting
        self.network, self.criterion = task.network, task.criterion
        self.epoch = self.batch = self.step = self.stale = 0
        self.best: float | None = None
        self._samples: np.ndarray | None = None
        self._losses: list[list[float]] = []
        self._average = Average(self.network, task.recipe.trainer.average)
        self._resumed, self._threads = state, torch.get_num_threads()
        self._log: RunLog | None = None
        self._progress: Progress | None = None
        if state is not None:
            self._take_up(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive in another process of the run, as quiet as in the first."""
        if multiprocessing.parent_process() is not None:
            _hush()
        super().__setstate__(state)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the recipe's optimizer, with its state where the run goes on."""
        optimizer = make_optimizer(self.task, self.task.recipe.optimizer)
        if self._resumed is not None:
            optimizer.load_state_dict(self._resumed["optimizer"])
        return optimizer

    def on_fit_start(self) -> None:
        """Share the threads, open the log and restore the scaler of mixed precision."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if self._resumed is not None and scaler is not None and self._resumed["scaler"]:
            scaler.load_state_dict(self._resumed["scaler"])
        self._resumed = None
        if self.trainer.world_size > 1 and launched() is None and self.device.type == "cpu":
            torch.set_num_threads(max(1, self._threads // self.trainer.world_size))
        if self.trainer.is_global_zero:
            self._log = RunLog(self.out, self.step, self.epoch)
        self._saved = time.monotonic()

    def train_dataloader(self) -> DataLoader:
        """Load what is left of the epoch."""
        settings, recipe = self.task.recipe.trainer, self.task.recipe
        if self._samples is None:
            self._samples = self.task.samples(self.epoch)
        data = EpochData(self.task, self._samples, recipe.seed, self.epoch)
        share = _Share(
            len(self._samples),
            settings.batch_size,
            self.batch,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return DataLoader(
            data,
            batch_sampler=share,
            num_workers=settings.workers,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
            generator=torch.Generator().manual_seed(recipe.seed),
        )

    @property
    def steps_per_epoch(self) -> int:
        """Batches of a whole epoch."""
        assert self._samples is not None
        return len(self._samples) // self.task.recipe.trainer.batch_size

    def on_train_epoch_start(self) -> None:
        """Switch to training mode and start the clock and the progress bar.

        Lightning leaves the network in the mode it came in.
        """
        self.train()
        self._started = time.perf_counter()
        self._images = 0
        if self.trainer.is_global_zero:
            left = (self.steps_per_epoch - self.batch) * self.task.recipe.trainer.batch_size
            what = f"epoch {self.epoch + 1}/{self.task.recipe.trainer.epochs}"
            assert self._samples is not None
            self._progress = Progress(left * self._samples.shape[1], what).__enter__()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate of this step and seed its random numbers."""
        done = (self.epoch + self.batch / self.steps_per_epoch) / self.task.recipe.trainer.epochs
        factor = rate_factor(self.task.recipe.optimizer, done, self.epoch)
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = group["initial_lr"] * factor
        torch.manual_seed(_seed(self.task.recipe.seed, 1, self.step, self.trainer.global_rank))

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Compute the loss of a batch.

        Raises:
            CrossbandError: it is no finite number; the images of the batch are named.
        """
        sample = batch.pop("sample")
        loss = self.task.loss(batch)
        mean = loss.detach()
        if self.trainer.world_size > 1:
            mean = mean / self.trainer.world_size
            torch.distributed.all_reduce(mean)
        value = float(mean)
        if not math.isfinite(value):
            names = [name for row in sample.cpu().numpy() for name in self.task.images_in(row)]
            raise CrossbandError(
                f"the loss is {value} in epoch {self.epoch + 1}, step {self.step + 1}, on the images "
                f"{', '.join(dict.fromkeys(names))}; check them, lower optimizer.lr, or set optimizer.clip=1"
            )
        self._losses.append([self.step + 1, value])
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the step, and save the state when it is time."""
        settings = self.task.recipe.trainer
        self.batch += 1
        self.step += 1
        self._average.follow(self.step)
        assert self._samples is not None
        images = settings.batch_size * self._samples.shape[1]
        self._images += images
        if not self.trainer.is_global_zero:
            return
        assert self._progress is not None
        self._progress.advance(images)
        whole = self.batch % settings.accumulate == 0 and self.batch < self.steps_per_epoch
        if whole and time.monotonic() - self._saved >= settings.save_seconds:
            self._save()

    def on_train_epoch_end(self) -> None:
        """Score on val, keep the best, and stop early when nothing improves."""
        seconds = time.perf_counter() - self._started
        figures = self.task.epoch_figures()
        mining = figures.get("mining_seconds", 0.0)
        figures = {
            **{f"train/{name}": value for name, value in figures.items()},
            "train/images_per_s": self._images / max(seconds, 1e-9),
            "train/mining_share": mining / max(mining + seconds, 1e-9),
            "train/loss": float(np.mean([loss for _, loss in self._losses])),
        }
        settings = self.task.recipe.trainer
        last = self.epoch + 1 == settings.epochs
        with self._average.standing_in():
            scores = self.task.validate() if last or not (self.epoch + 1) % settings.validate_every else {}
            self._close_progress()
            improved = self._judge(scores)
            if improved and self.trainer.is_global_zero:
                write_checkpoint(self.out / BEST, self.network, self._metadata(scores))
        stop = bool(settings.patience) and self.stale >= settings.patience
        self.trainer.should_stop = stop
        if self.trainer.is_global_zero:
            self._write(figures | scores)
        self.epoch, self.batch, self._samples, self._losses = self.epoch + 1, 0, None, []
        if self.trainer.is_global_zero:
            self._save(finished=stop or self.epoch == settings.epochs)

    def _judge(self, scores: dict[str, float]) -> bool:
        """Whether these scores, if any, are the best so far; counts the measured epochs since."""
        if not scores:
            return False
        improved = self.best is None or scores[self.task.monitor] > self.best
        self.stale = 0 if improved else self.stale + 1
        self.best = scores[self.task.monitor] if improved else self.best
        return improved

    def on_fit_end(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def on_exception(self, exception: BaseException) -> None:
        """Leave the terminal and the log in order."""
        self._close_progress()
        self.on_fit_end()

    def _write(self, values: dict[str, float]) -> None:
        assert self._log is not None
        for step, loss in self._losses:
            self._log.write(int(step), self.epoch, {"loss": loss})
        self._log.write(self.step, self.epoch, values)

    def _close_progress(self) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None

    def _metadata(self, scores: dict[str, float]) -> dict[str, Any]:
        return {
            "recipe": self.task.recipe.model_dump(mode="json"),
            "epoch": self.epoch + 1,
            "step": self.step,
            "scores": scores,
            **self.task.metadata(),
        }

    def _save(self, finished: bool = False) -> None:
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        state = {
            "recipe": self.task.recipe.model_dump_json(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "best": self.best,
            "stale": self.stale,
            "finished": finished,
            "setting": self.setting.to_json(),
            "losses": self._losses,
            "samples": None if self._samples is None else torch.from_numpy(np.ascontiguousarray(self._samples)),
            "network": self.network.state_dict(),
            "average": self._average.tensors,
            "criterion": self.criterion.state_dict(),
            "optimizer": self.optimizers().optimizer.state_dict(),  # type: ignore[union-attr]
            "scaler": scaler.state_dict() if scaler is not None else {},
            "task": self.task.state(),
        }
        write_state(self.out / STATE, state)
        self._saved = time.monotonic()

    def _take_up(self, state: dict[str, Any]) -> None:
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self.best, self.stale, self._losses = state["best"], state["stale"], state["losses"]
        self._samples = None if state["samples"] is None else state["samples"].numpy()
        mine = self.network.state_dict()
        if any(name not in mine or mine[name].shape != value.shape for name, value in state["network"].items()):
            raise CrossbandError(
                f"{self.out} holds a run of an older version of crossband, whose network had another shape; "
                "choose another folder, and start with its best.safetensors",
                parameter="out",
            )
        self.network.load_state_dict(state["network"])
        self._average.take_up(state.get("average", {}))
        self.criterion.load_state_dict(state["criterion"])
        self.task.load_state(state["task"])


def _strategy(task: Task, processes: int) -> str:
    """Lightning's name of how processes share a batch."""
    if processes == 1:
        return "auto"
    unreached = "" if task.reaches_all else "_find_unused_parameters_true"
    return f"ddp{'' if launched() is not None else '_spawn'}{unreached}"


def _setting(task: Task, state: dict[str, Any] | None) -> Setting:
    """How a run computes: as its recipe says, as it began, or as is quickest."""
    begun = None if state is None else Setting(**state.get("setting", {}))
    batch = cache(lambda: _first_batch(task))
    setting = _arithmetic(task, begun, batch)
    if setting.channels_last:
        task.network.to(memory_format=torch.channels_last)
    measured = None if begun is None else begun.processes
    if measured is None and _may_be_two(task):
        two = quicker_as_two(task, batch(), setting)
        measured = 1 + two
        if two:
            note("trains in two processes, which are quicker here than one")
    return replace(setting, processes=measured)


def _arithmetic(task: Task, begun: Setting | None, batch: Callable[[], Batch]) -> Setting:
    """Precision and memory layout."""
    settings = task.recipe.trainer
    if settings.precision != "auto":
        return Setting(settings.precision)
    if launched() is not None and settings.device == "cpu":
        return Setting("32-true")  # each process would measure another
    if begun is not None:
        return begun
    if _on_gpu(task):
        return Setting("bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true")
    share = settings.batch_size // (1 if settings.processes == "auto" else settings.processes)
    setting = quickest(task, {name: tensor[:share] for name, tensor in batch().items()})
    layout = ", channels last" if setting.channels_last else ""
    note(f"trains in {setting.precision}{layout}, which is quickest here")
    return setting


def _may_be_two(task: Task) -> bool:
    settings = task.recipe.trainer
    alone = launched() is None and not _on_gpu(task)
    return settings.processes == "auto" and alone and task.divides and settings.batch_size % 2 == 0


def _here(task: Task, setting: Setting) -> int:
    """How many processes this one starts, itself among them."""
    asked = task.recipe.trainer.processes
    if asked != "auto":
        return asked
    return (setting.processes or 1) if _may_be_two(task) and can_start_processes() else 1


def _on_gpu(task: Task) -> bool:
    return choose_device(task.recipe.trainer.device) != "cpu"


def _first_batch(task: Task) -> Batch:
    samples, size = task.samples(0), task.recipe.trainer.batch_size
    _check_enough(len(samples), size)
    data = EpochData(task, samples, task.recipe.seed, 0)
    batch: Batch = torch.utils.data.default_collate([data[i] for i in range(size)])
    batch.pop("sample")
    return batch


def _check_enough(n: int, batch_size: int) -> None:
    if n < batch_size:
        raise CrossbandError(f"an epoch has {n} samples, fewer than trainer.batch_size {batch_size}")


class EpochData(Dataset):
    """The samples of an epoch as tensors; each sample's random numbers are its own."""

    def __init__(self, task: Task, samples: np.ndarray, seed: int, epoch: int) -> None:
        self._task, self._samples = task, samples
        self._seed, self._epoch = seed, epoch

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(_seed(self._seed, 2, self._epoch, index))
        sample = self._samples[index]
        return {**self._task.read(sample, generator), "sample": torch.from_numpy(sample.copy())}


class _Share:
    """One process's share of every batch of an epoch, from some batch on; what does not fill a batch is left
    out."""

    def __init__(self, n: int, batch_size: int, first: int, rank: int, world: int) -> None:
        _check_enough(n, batch_size)
        self._batches, self._size, self._first = n // batch_size, batch_size, first
        self._rank, self._world = rank, world

    def __len__(self) -> int:
        return self._batches - self._first

    def __iter__(self) -> Iterator[list[int]]:
        for batch in range(self._first, self._batches):
            yield list(range(batch * self._size + self._rank, (batch + 1) * self._size, self._world))


def _same_recipe(recipe: Recipe, said: str) -> bool:
    """Whether a state's recipe is this one, but for who does the work; keys that came with a later version
    count as their defaults."""
    who = {"trainer": {"processes", "workers", "save_seconds"}}
    try:
        return type(recipe).model_validate_json(said).model_dump(exclude=who) == recipe.model_dump(exclude=who)
    except ValueError:
        return False


def make_optimizer(task: Task, recipe: Optimizer) -> torch.optim.Optimizer:
    """Make the optimizer: ``lr`` for the encoder, ``head_lr`` for the rest, no decay of biases and norms."""
    encoder = getattr(task.network, "encoder", task.network)
    inside = {id(parameter) for parameter in encoder.parameters()}
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for parameter in [*task.network.parameters(), *task.criterion.parameters()]:
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in inside, parameter.ndim > 1), []).append(parameter)
    parts: list[dict[str, Any]] = []
    for (own, decays), parameters in groups.items():
        rate = recipe.lr if own or recipe.head_lr is None else recipe.head_lr
        decay = recipe.weight_decay if decays else 0.0
        parts.append({"params": parameters, "lr": rate, "initial_lr": rate, "weight_decay": decay})
    if recipe.name == "sgd":
        return torch.optim.SGD(parts, lr=recipe.lr, momentum=recipe.momentum)
    kind = torch.optim.AdamW if recipe.name == "adamw" else torch.optim.Adam
    return kind(parts, lr=recipe.lr, betas=recipe.betas)


def rate_factor(recipe: Optimizer, done: float, epoch: int) -> float:
    """Return the factor on the learning rate when the share ``done`` of a run is over.

    Example:
        >>> [round(rate_factor(Optimizer(schedule="cosine"), share, 0), 3) for share in (0.0, 0.5, 1.0)]
        [1.0, 0.5, 0.0]
    """
    if done < recipe.warmup:
        risen = recipe.warmup_from + (1 - recipe.warmup_from) * done / recipe.warmup
        return max(risen, 1e-3 / recipe.warmup)
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (done - recipe.warmup) / (1 - recipe.warmup)))
    if recipe.schedule == "poly":
        return ((1 - done) / (1 - recipe.warmup)) ** recipe.power
    if recipe.schedule == "steps":
        return recipe.decay ** sum(epoch >= milestone for milestone in recipe.milestones)
    return recipe.decay**epoch if recipe.schedule == "exponential" else 1.0


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _own_error(error: Exception) -> Exception:
    """The sentence that a process which trains or reads died of, where it is one of ours."""
    found = re.findall(r"^[\w.]*(?:CrossbandError|ImageFault): (.+)$", str(error), flags=re.MULTILINE)
    return CrossbandError(found[-1]) if found else error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's remarks and advertisements."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        _hush()
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _hush() -> None:
    warnings.filterwarnings("ignore", module="lightning")
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
