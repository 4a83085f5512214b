"""The training arguments of sentence-transformers that a run takes, and why it takes no others.

Each argument that is taken was seen to act in our loop; ``tests/training/test_arguments.py`` repeats that. Many others
are about what Tardif does itself (evaluations, checkpoints, batches) or about machinery that our loop does not use: to
accept one would record a setting that did nothing. A name that is not listed here is refused, also a new one of the
library.
Nothing heavy is imported, unless an optimizer or a schedule is chosen: settings are checked before any work.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from tardif.checks import is_number, shown
from tardif.errors import SettingError, first_line
from tardif.libraries import load_libraries

ACCUMULATION = "gradient_accumulation_steps"

# What an argument takes, in words, and whether a value is that.
Takes = tuple[str, Callable[[Any], bool]]


def _number(least: float, most: float = float("inf")) -> Callable[[Any], bool]:
    # Python's whole numbers have no largest, and the library's floats have.
    return lambda value: is_number(value) and least <= value < most and value <= sys.float_info.max


def _written_number(text: str) -> bool:
    try:
        return _number(0)(float(text))
    except ValueError:
        return False


_FROM_0: Takes = ("a number, 0 or more", _written_number)
_SHARE: Takes = ("a number from 0 up to (not with) 1", lambda text: _written_number(text) and float(text) < 1)
# A weight without a gradient, such as the vector of a token that is not read, would be 0 divided by 0.
_ABOVE_0: Takes = ("a number above 0", lambda text: _written_number(text) and float(text) > 0)
# The library takes any other word for false.
_WRITTEN_SWITCH: Takes = ("true or false", lambda text: text.lower() in ("true", "false"))

# The optimizers that need nothing beside torch, and the names that ``optim_args`` can set for each, with their values.
OPTIMIZERS: dict[str, dict[str, Takes]] = {
    "adamw_torch_fused": {},
    "adamw_torch": {},
    "sgd": {"momentum": _FROM_0, "dampening": _FROM_0, "nesterov": _WRITTEN_SWITCH},
    "adagrad": {"lr_decay": _FROM_0, "eps": _ABOVE_0},
    "rmsprop": {"momentum": _FROM_0, "alpha": _SHARE, "eps": _ABOVE_0, "centered": _WRITTEN_SWITCH},
    "adafactor": {},
}
# The schedules of the learning rate, and the names that ``lr_scheduler_kwargs`` can set for each.
SCHEDULES: dict[str, tuple[str, ...]] = {
    "linear": (),
    "cosine": ("num_cycles",),
    "cosine_with_restarts": ("num_cycles",),
    "cosine_with_min_lr": ("min_lr", "min_lr_rate", "num_cycles"),
    "polynomial": ("lr_end", "power"),
    "constant": (),
    "constant_with_warmup": (),
    "inverse_sqrt": ("timescale",),
    "warmup_stable_decay": ("num_decay_steps", "min_lr_ratio", "num_cycles"),
}
LOGGERS = ("trackio", "wandb", "tensorboard", "mlflow", "comet_ml", "clearml", "swanlab", "dvclive", "codecarbon")
# The names that packages are imported by; for all other loggers it is the logger's own.
_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX")}


def _whole(least: int) -> Takes:
    # type(), not isinstance: True is an int in Python.
    return f"a whole number, {least} or more", lambda value: type(value) is int and value >= least


def _one_of(names: Mapping[str, Any]) -> Takes:
    return f"one of {', '.join(names)}", lambda value: value in names


def _is_rates(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(is_number(rate) and rate > 0 for rate in value.values())


def _is_loggers(value: Any) -> bool:
    names = [value] if isinstance(value, str) else value
    return isinstance(names, list) and all(name in (*LOGGERS, "none") for name in names)


_FINITE = _number(-sys.float_info.max)
_BELOW_ONE: Takes = ("a number from 0 up to (not with) 1", _number(0, 1))
_TEXT: Takes = ("a text", lambda value: isinstance(value, str) and bool(value))

# The library's arguments that a run takes.
TAKEN: dict[str, Takes] = {
    "optim": _one_of(OPTIMIZERS),
    "optim_args": ("key=value, with commas between several", lambda value: isinstance(value, str) and "=" in value),
    "weight_decay": ("a number, 0 or more", _number(0)),
    "adam_beta1": _BELOW_ONE,
    "adam_beta2": _BELOW_ONE,
    "adam_epsilon": ("a number above 0", lambda value: _number(0)(value) and value > 0),
    "max_grad_norm": ("a number, 0 or more (0: gradients are not clipped)", _number(0)),
    "lr_scheduler_type": _one_of(SCHEDULES),
    "lr_scheduler_kwargs": ('a dict, such as {"num_cycles": 2}', lambda value: isinstance(value, Mapping)),
    "warmup_steps": _whole(0),
    "learning_rate_mapping": ('learning rates by a pattern of weights, such as {"embeddings": 1e-5}', _is_rates),
    ACCUMULATION: _whole(1),
    "logging_steps": _whole(1),
    "logging_first_step": ("true or false", lambda value: isinstance(value, bool)),
    "report_to": (f"none, or one or a list of {', '.join(LOGGERS)}", _is_loggers),
    "run_name": _TEXT,
    "project": _TEXT,
}
_TRUTH: Takes = ("true or false", lambda value: isinstance(value, bool))


def _is_target(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value) and _is_pattern(value)
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(name, str) and name for name in value)


def _is_pattern(value: str) -> bool:
    try:
        re.compile(value)
    except re.error:
        return False
    return True


def _are(values: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(values, list | tuple) and bool(values) and all(map(fits, values))


def _are_of_names(values: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(values, Mapping) and all(
        isinstance(name, str) and name and fits(value) and value > 0 for name, value in values.items()
    )


# The arguments of peft's LoraConfig that a run takes. With each of them the adapters begin at nothing, are averaged
# with that and are merged into the weights: other ways to begin change the weights themselves, and other parts cannot
# be merged or are not saved.
ADAPTERS: dict[str, Takes] = {
    "r": _whole(1),
    "lora_alpha": ("a number above 0", lambda value: is_number(value) and 0 < value < float("inf")),
    "lora_dropout": _BELOW_ONE,
    "use_rslora": _TRUTH,
    "use_dora": _TRUTH,
    "target_modules": ("a list of names of linear layers, or a regular expression for whole names", _is_target),
    "exclude_modules": ("a list of names of linear layers, or a regular expression for whole names", _is_target),
    "layers_to_transform": (
        "a list of numbers of layers",
        lambda value: _are(value, lambda n: type(n) is int and n >= 0),
    ),
    "rank_pattern": (
        "a whole number by the name of a linear layer",
        lambda value: _are_of_names(value, lambda n: type(n) is int),
    ),
    "alpha_pattern": ("a number by the name of a linear layer", lambda value: _are_of_names(value, is_number)),
    "init_lora_weights": ("true or gaussian", lambda value: value is True or value == "gaussian"),
}

# The library's arguments that a run does not take, by what to use, or why there is nothing to set. A test compares all
# names with the library's, so a new argument is noticed.
_REASONS = {
    "use epochs": "num_train_epochs",
    "use batch_size, which is that of all processes together": "per_device_train_batch_size",
    "use lr": "learning_rate",
    "use warmup": "warmup_ratio",
    "use precision=bf16": "bf16 bf16_full_eval fp16_full_eval tf32",
    "use precision=fp16 on a CUDA GPU, precision=bf16 elsewhere": "fp16",
    "use gradient_checkpointing=true": "activation_checkpointing",
    "use seed": "data_seed",
    "choose the device when training is set up (--device cpu, in Python devices='cpu')": "use_cpu",
    "use evaluations": "eval_strategy eval_steps",
    "use save_steps or save_minutes": "save_strategy",
    "use logging_steps": "logging_strategy",
    "choose query_length and document_length when training is set up": "max_length",
    "the name and the output folder decide where everything goes": "output_dir",
    "use evaluations, validation_documents and evaluation_share": """
        do_eval eval_delay per_device_eval_batch_size prediction_loss_only eval_on_start eval_do_concat_batches
        eval_use_gather_object eval_accumulation_steps include_for_metrics batch_eval_metrics do_predict
        metric_for_best_model greater_is_better load_best_model_at_end""",
    "the last two checkpoints and the best one are kept; use save_steps and save_minutes for how often": """
        save_only_model save_on_each_node save_total_limit enable_jit_checkpoint resume_from_checkpoint ignore_data_skip
        restore_callback_states_from_checkpoint do_train""",
    "an epoch uses every example once, in an order that seed decides": """
        dataloader_drop_last remove_unused_columns label_names train_sampling_strategy length_column_name batch_sampler
        multi_dataset_batch_sampler prompts router_mapping auto_find_batch_size""",
    "use --processes (in Python processes=), which share out every batch": """
        accelerator_config parallelism_config ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers
        ddp_static_graph ddp_backend ddp_timeout fsdp fsdp_config deepspeed local_rank""",
    "nothing is sent anywhere; upload the finished folder with huggingface_hub": """
        push_to_hub hub_token hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision trackio_space_id
        trackio_bucket_id trackio_static_space_id""",
    "batches have no fixed shape here, and the loop does not go through it": """
        torch_compile torch_compile_backend torch_compile_mode""",
    "it acts in language models and classifiers, and a retriever has no such part": """
        label_smoothing_factor neftune_noise_alpha average_tokens_across_devices use_liger_kernel liger_kernel_config
        use_cache include_num_input_tokens_seen optim_target_modules""",
    "Tardif shows progress itself; leave it out, or use --quiet (in Python quiet=True)": """
        disable_tqdm log_level log_level_replica log_on_each_node logging_nan_inf_filter debug skip_memory_metrics""",
    # The threads of a fast tokenizer do not survive a fork: a worker that tokenises may wait for them for ever.
    "a batch is made in milliseconds, and a worker could wait for ever for the tokenizer's threads": """
        dataloader_num_workers dataloader_prefetch_factor dataloader_pin_memory dataloader_persistent_workers
        dataloader_multiprocessing_context dataloader_in_order""",
    "on a CPU a run gives the same bytes anyway; on a GPU call torch.use_deterministic_algorithms": "full_determinism",
    "use gradient_checkpointing, grad_cache or a smaller batch_size to save memory": """
        torch_empty_cache_steps activation_checkpointing_kwargs gradient_checkpointing_kwargs""",
}
REFUSED = {name: why for why, names in _REASONS.items() for name in names.split()}


def check_adapters(given: Mapping[str, Any]) -> None:
    """Raise if adapters cannot be trained with these arguments of peft's LoraConfig.

    >>> check_adapters({"r": 8, "lora_alpha": 16})
    >>> check_adapters({"r": 8, "init_lora_weights": "pissa"})
    Traceback (most recent call last):
    tardif.errors.SettingError: lora: init_lora_weights='pissa': give true or gaussian.

    Args:
        given: each of :data:`ADAPTERS`.

    Raises:
        SettingError: names it, and what is taken.
    """
    for name, value in given.items():
        _check_name("lora", name, tuple(ADAPTERS))
        words, fits = ADAPTERS[name]
        if not fits(value):
            raise SettingError(f"lora: {name}={shown(value)}: give {words}.")


def check_arguments(given: Mapping[str, Any]) -> None:
    """Raise if one of the library's arguments cannot be used, or would do nothing.

    >>> check_arguments({"optim": "sgd", "optim_args": "momentum=0.9"})
    >>> check_arguments({"optim": "sgd", "optim_args": "eps=0.1"})
    Traceback (most recent call last):
    tardif.errors.SettingError: optim_args='eps=0.1': optim=sgd has no 'eps': it takes momentum, dampening, nesterov.

    Args:
        given: each of :data:`TAKEN`.

    Raises:
        SettingError: names it, and what it takes.
    """
    for name, value in given.items():
        words, fits = TAKEN[name]
        if not fits(value):
            raise SettingError(f"{name}={shown(value)}: give {words}.")
    _check_optimizer(given)
    _check_schedule(given)
    loggers = loggers_of(given)
    for name in ("run_name", "project"):
        if name in given and not loggers:
            raise SettingError(f"{name} is for loggers: choose one with report_to, or leave {name} out.")
    if "project" in given and "trackio" not in loggers:
        raise SettingError("project is for report_to=trackio: leave it out.")
    for name in loggers:
        packages = _PACKAGES.get(name, (name,))
        if not any(map(is_installed, packages)):
            raise SettingError(f"report_to={name}: it is not installed: pip install {packages[0]}, or leave it out.")


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def loggers_of(given: Mapping[str, Any]) -> list[str]:
    """Return the loggers that a run reports to.

    >>> loggers_of({"report_to": "wandb"}), loggers_of({})
    (['wandb'], [])
    """
    asked = given.get("report_to", "none")
    return [name for name in ([asked] if isinstance(asked, str) else asked) if name != "none"]


def _check_optimizer(given: Mapping[str, Any]) -> None:
    optimizer = given.get("optim", "adamw_torch_fused")
    # The library would ignore it without a word.
    if not optimizer.startswith("adamw"):
        for name in ("adam_beta1", "adam_beta2", "adam_epsilon"):
            if name in given:
                raise SettingError(f"{name} does nothing with optim={optimizer}: leave it out.")
    seen = set()
    for part in given["optim_args"].split(",") if "optim_args" in given else ():
        what = f"optim_args={shown(given['optim_args'])}:"
        name, _, value = (word.strip() for word in part.partition("="))
        _check_name(f"{what} optim={optimizer}", name, OPTIMIZERS[optimizer])
        words, fits = OPTIMIZERS[optimizer][name]
        if not fits(value):
            raise SettingError(f"{what} {name} takes {words}: write {name}=VALUE.")
        if name in seen:
            raise SettingError(f"{what} {name} is given twice: give it once.")
        seen.add(name)


def _check_name(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise SettingError(f"{what} has no {name!r}: it takes {', '.join(known) or 'none'}.")


def _check_schedule(given: Mapping[str, Any]) -> None:
    schedule, kwargs = given.get("lr_scheduler_type", "linear"), given.get("lr_scheduler_kwargs", {})
    for name, value in kwargs.items():
        _check_name(f"lr_scheduler_kwargs: lr_scheduler_type={schedule}", name, SCHEDULES[schedule])
        if not _FINITE(value):
            raise SettingError(f"lr_scheduler_kwargs: {name}={shown(value)}: give a number.")
    if schedule == "cosine_with_min_lr" and ("min_lr" in kwargs) == ("min_lr_rate" in kwargs):
        raise SettingError(
            "lr_scheduler_type=cosine_with_min_lr needs one of min_lr and min_lr_rate: "
            """--set lr_scheduler_kwargs='{"min_lr_rate": 0.1}' (in Python lr_scheduler_kwargs={"min_lr_rate": 0.1})."""
        )
    if schedule == "warmup_stable_decay" and "num_decay_steps" not in kwargs:
        raise SettingError(
            "lr_scheduler_type=warmup_stable_decay needs num_decay_steps: "
            """--set lr_scheduler_kwargs='{"num_decay_steps": 100}' (in Python lr_scheduler_kwargs={...})."""
        )
    if schedule == "constant" and given.get("warmup_steps"):
        raise SettingError("lr_scheduler_type=constant has no warm-up: use constant_with_warmup, or no warmup_steps.")


# What decides on the optimizer and the schedule. Their defaults are known to work at any ``lr``.
_TRIED = {
    "optim", "optim_args", "adam_beta1", "adam_beta2", "adam_epsilon", "lr_scheduler_type", "lr_scheduler_kwargs",
    "warmup_steps",
}  # fmt: skip

# The steps of a schedule whose rate is looked at.
_LOOKED_AT = 1000


def try_optimizer(given: Mapping[str, Any], lr: float, steps: int, warmup: int) -> None:
    """Raise if the library cannot make the optimizer or the schedule, by making them for one weight.

    Args:
        given: checked by :func:`check_arguments`.
        lr: the peak learning rate.
        steps: of the training, as far as is known.
        warmup: steps of the warm-up, unless ``given`` says.

    Raises:
        SettingError: the library refuses the values together, or the learning rate would leave the range from 0 to
            ``lr``.
    """
    if not given.keys() & _TRIED:
        return
    load_libraries()
    import torch
    from transformers import Trainer, get_scheduler
    from transformers.training_args import OptimizerNames

    name, arguments = given.get("optim", "adamw_torch_fused"), given.get("optim_args")
    schedule, kwargs = given.get("lr_scheduler_type", "linear"), dict(given.get("lr_scheduler_kwargs", {}))
    wanted = SimpleNamespace(
        optim=OptimizerNames(name),
        optim_args=arguments,
        learning_rate=lr,
        adam_beta1=given.get("adam_beta1", 0.9),
        adam_beta2=given.get("adam_beta2", 0.999),
        adam_epsilon=given.get("adam_epsilon", 1e-8),
    )
    what = f"optim={name}" + (f" with optim_args={shown(arguments)}" if arguments else "")
    try:
        made, options = Trainer.get_optimizer_cls_and_kwargs(wanted)  # type: ignore[arg-type]
        optimizer = made([torch.nn.Parameter(torch.zeros(1))], **options)
        what = f"lr_scheduler_type={schedule} with lr={lr:g}" + (f" and lr_scheduler_kwargs={kwargs}" if kwargs else "")
        scheduler = get_scheduler(schedule, optimizer, given.get("warmup_steps", warmup), steps, kwargs)
        for step in {*range(0, steps, max(steps // _LOOKED_AT, 1)), steps}:
            factor = scheduler.lr_lambdas[0](step)
            if not 0 <= factor <= 1 + 1e-9:  # rounded
                raise ValueError(f"the rate of step {step} of {steps} would be {factor * lr:g}, which is not 0 to lr")
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise SettingError(f"{what} cannot be used: {first_line(error)}") from error
