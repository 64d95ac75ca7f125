"""Which place sets the numbers of nodes and GPUs: the settings, the parameters, or the script's config.

A preset's ``counts`` name the keys of the script's config, and so the parameters, that say the same as a setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from airflow_slurm_sweep.errors import Fault, SettingsError
from airflow_slurm_sweep.sweep.axes import distinct
from airflow_slurm_sweep.sweep.layers import Layers
from airflow_slurm_sweep.sweep.overrides import config_key, override_key
from airflow_slurm_sweep.sweep.settings import RunOptions, given
from airflow_slurm_sweep.sweep.spec import SweepSpec


def counts_to_read(spec: SweepSpec, layers: Layers, options: RunOptions) -> dict[str, str]:
    """Return the counts that only the script's config can set, as ``{"nodes": "cluster.num_nodes"}``."""
    if spec.config_path is None:
        return {}
    set_by_parameters = {config_key(key) for key in spec.parameters} | _overridden(options)
    set_in_settings = options.model_fields_set | spec.slurm.model_fields_set
    return {
        setting: key
        for setting, key in layers.preset.counts.items()
        if key not in set_by_parameters and setting not in set_in_settings
    }


def disagreements(spec: SweepSpec, counts: Mapping[str, str]) -> Iterator[Fault]:
    """Find two different numbers of nodes, or of GPUs: Slurm is asked for what the script is told."""
    for setting, key in counts.items():
        number = given(spec.slurm).get(setting)
        for name, values in spec.parameters.items():
            if config_key(name) == key and number is not None and any(value != number for value in values):
                shown = ", ".join(map(str, values))
                problem = f"the parameter is {shown}, but slurm.{setting} is {number}; remove one of them"
                yield Fault(key=name, problem=problem)
    yield from distinct(_of_rules(spec, counts))


def _of_rules(spec: SweepSpec, counts: Mapping[str, str]) -> Iterator[Fault]:
    if not any(rule.slurm.keys() & counts.keys() for rule in spec.space.rules):
        return
    for combination in spec.space.combinations:
        parameters = {config_key(key): value for key, value in combination.parameters.items()}
        for place, settings in combination.settings.items():
            for setting in settings.keys() & counts.keys():
                value = parameters.get(counts[setting], settings[setting])
                if value != settings[setting]:
                    problem = (
                        f"the parameter is {value}, but slurm.{setting} is {settings[setting]}; remove one of them"
                    )
                    yield Fault(key=f"{place}.{counts[setting]}", problem=problem)


def counts_of_the_form(spec: SweepSpec, layers: Layers, options: RunOptions) -> dict[str, int]:
    """Return the counts that the form's fields replace, by their keys.

    Raises:
        SettingsError: The overrides set the same count, or the sweep has several values of it.
    """
    entered = {key: name for name, key in layers.preset.counts.items() if name in options.model_fields_set}
    for key, name in entered.items():
        if key in _overridden(options):
            raise SettingsError(f"{name}: the overrides set {key} too; keep one of them")
        if any(config_key(each) == key and len(values) > 1 for each, values in spec.parameters.items()):
            raise SettingsError(f"{name}: {spec.source} sweeps over {key}; to run with one number, override {key}")
    return {key: getattr(options, name) for key, name in entered.items()}


def _overridden(options: RunOptions) -> set[str]:
    return {config_key(override_key(text)) for text in options.overrides}
