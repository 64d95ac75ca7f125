"""The number of nodes and GPUs in the script's config, with NeMo RL's inheritance.

    defaults: grpo_math_1B.yaml     # one parent or a list, relative to this file, each with parents of its own
    cluster: {num_nodes: 2}         # later files win; `_override_: true` in a section drops the parents' section

The rules are those of NeMo RL's ``nemo_rl/utils/config.py``. The files are on the cluster; the caller reads them.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Mapping
from pathlib import PurePosixPath

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from airflow_slurm_sweep.errors import SettingsError

Texts = Mapping[str, "str | None"]


def wanted_files(path: str, texts: Texts, children: tuple[str, ...] = ()) -> set[str]:
    """Return the files that ``path`` builds on, itself included, that are not among ``texts`` yet.

    Args:
        path: The config file.
        texts: The files read so far, by path; None for one that cannot be read.
        children: The files that build on it, the first one first.

    Raises:
        SettingsError: A file cannot be read, is no config, or builds on itself.
    """
    if posixpath.normpath(path) in map(posixpath.normpath, children):
        raise SettingsError(f"{' > '.join((*children, path))}: the configs inherit from each other in a circle")
    if path not in texts:
        return {path}
    parents = _parents(path, _parsed(path, texts))
    return set().union(*(wanted_files(parent, texts, (*children, path)) for parent in parents))


def count(path: str, texts: Texts, key: str) -> int | None:
    """Return the whole number that a config has for a dotted key; None if it has none.

    Raises:
        SettingsError: It has something else, or one of its files, which are all in ``texts``, is no config.
    """
    try:
        value = OmegaConf.select(_merged(path, texts), key)
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise SettingsError(f"{path}: {key}: {' '.join(str(error).split())}") from None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingsError(f"{path}: {key}: expected a whole number, got {value!r}")
    return value


def _parsed(path: str, texts: Texts) -> DictConfig:
    text = texts[path]
    if text is None:
        raise SettingsError(
            f"{path}: the config cannot be read on the cluster; correct its path, or set `slurm.nodes` and "
            f"`slurm.gpus_per_node`, which are read in it otherwise"
        )
    try:
        config = OmegaConf.load(io.StringIO(text))
    except (OmegaConfBaseException, yaml.YAMLError, OSError) as error:
        raise SettingsError(f"{path}: not a config: {' '.join(str(error).split())}") from None
    if not isinstance(config, DictConfig):
        raise SettingsError(f"{path}: not a config: expected keys with values")
    return config


def _parents(path: str, config: DictConfig) -> list[str]:
    defaults = config.get("defaults")
    names = [] if defaults is None else list(defaults) if isinstance(defaults, ListConfig) else [defaults]
    return [str(PurePosixPath(path).parent / str(name)) for name in names]


def _merged(path: str, texts: Texts) -> DictConfig:
    config = _parsed(path, texts)
    if "defaults" not in config:
        return config  # its `_override_` marks are for those who build on it
    base = OmegaConf.create({})
    for parent in _parents(path, config):
        base = _merge(base, _merged(parent, texts))
    config.pop("defaults")
    return _merge(base, config)


def _merge(base: DictConfig, config: DictConfig) -> DictConfig:
    for key in list(config):
        section = config._get_node(key)
        if isinstance(section, DictConfig) and section.get("_override_", False):
            section.pop("_override_")
            base.pop(key, None)
    merged = OmegaConf.merge(base, config)
    assert isinstance(merged, DictConfig)  # a mapping and a mapping
    return merged
